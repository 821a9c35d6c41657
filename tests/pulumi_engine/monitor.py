"""What a program asks for: the services ResourceMonitor and Engine, over the steps of one run."""

import threading
import uuid
from dataclasses import dataclass, replace

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    provider_pb2,
    resource_pb2,
    resource_pb2_grpc,
)

from pulumi_engine.plugin import ProviderError
from pulumi_engine.state import Resource
from pulumi_engine.steps import StepError, not_known
from pulumi_engine.wire import is_known, plain, struct

STACK = "pulumi:pulumi:Stack"
PROVIDER = "pulumi:providers:"
FEATURES = {
    "secrets": "SECRETS",
    "resourceReferences": "RESOURCE_REFERENCES",
    "aliasSpecs": "ALIAS_SPECS",
    "deletedWith": "DELETED_WITH",
}


@dataclass
class Options:
    """What a program says of a resource beside its inputs."""

    ignored: list
    secret_outputs: list
    delete_first: bool | None
    import_id: str


class Monitor(resource_pb2_grpc.ResourceMonitorServicer, engine_pb2_grpc.EngineServicer):
    """One run of one program."""

    def __init__(self, run):
        self._run, self._root, self._lock = run, "", threading.Lock()
        self._packages = {}

    # -- ResourceMonitor ---------------------------------------------------------------------------------------

    def GetDeploymentInfo(self, request, context):
        names = [f"RESOURCE_MONITOR_FEATURE_{name}" for name in FEATURES.values()]
        features = [resource_pb2.ResourceMonitorFeature.Value(name) for name in names]
        return resource_pb2.DeploymentInfo(**self._run.settings, supportedFeatures=features)

    def SupportsFeature(self, request, context):
        return resource_pb2.SupportsFeatureResponse(hasSupport=request.id in FEATURES)

    def RegisterPackage(self, request, context):
        return resource_pb2.RegisterPackageResponse(ref=self._packages.setdefault(request.name, str(uuid.uuid4())))

    def SignalAndWaitForShutdown(self, request, context):
        return empty_pb2.Empty()

    def RegisterResource(self, request, context):
        goal = self._goal(request)
        with self._refusing(context):
            if not request.custom:
                self._run.component(goal)
                return resource_pb2.RegisterResourceResponse(urn=goal.urn, object=request.object)
            if request.type.startswith(PROVIDER):
                made = self._run.provider(goal)
                return resource_pb2.RegisterResourceResponse(urn=goal.urn, id=made.id, object=struct(made.outputs))
            first = request.deleteBeforeReplace if request.deleteBeforeReplaceDefined else None
            names = list(request.additionalSecretOutputs)
            options = Options(list(request.ignoreChanges), names, first, request.importId)
            goal = replace(goal, provider=self._run.reference(request.provider, request.type))
            plugin = self._run.plugin(goal.provider)
            if plugin is None:
                return resource_pb2.RegisterResourceResponse(urn=goal.urn, object=struct(not_known(goal)))
            id_, outputs = self._run.steps.bring(goal, plugin, options)
            return resource_pb2.RegisterResourceResponse(urn=goal.urn, id=id_, object=struct(outputs))

    def RegisterResourceOutputs(self, request, context):
        if f"::{STACK}::" in request.urn:
            self._run.result.outputs = plain(request.outputs)
        return empty_pb2.Empty()

    def ReadResource(self, request, context):
        urn = self._run.urn(request.type, request.name, request.parent)
        with self._refusing(context):
            reference = self._run.reference(request.provider, request.type)
            found = self._run.plugin(reference).read(urn, request.id, None, plain(request.properties))
            if found is None:
                raise StepError(f"{request.name}: {request.id} is not there")
            self._run.result.note("read", request.name)
            made = Resource(urn, request.type, True, found[0], {}, found[2], request.parent, provider=reference)
            self._run.steps.seen.add(urn)
            if not self._run.steps.preview:
                self._run.state.put(replace(made, external=True), self._run.state.find(urn))
            return resource_pb2.ReadResourceResponse(urn=urn, properties=struct(found[2]))

    def Invoke(self, request, context):
        with self._refusing(context):
            args = plain(request.args)
            assert is_known(args), "a program that asks with what is not known"
            found, wrong = self._run.plugin(self._run.reference(request.provider, request.tok)).invoke(
                request.tok, args
            )
            response = resource_pb2.ResourceInvokeResponse()
            getattr(response, "return").CopyFrom(struct(found))
            response.failures.extend(provider_pb2.CheckFailure(reason=one) for one in wrong)
            return response

    # -- Engine ------------------------------------------------------------------------------------------------

    def Log(self, request, context):
        if request.severity != engine_pb2.DEBUG:
            self._run.say(request.message, error=request.severity == engine_pb2.ERROR)
        return empty_pb2.Empty()

    def GetRootResource(self, request, context):
        return engine_pb2.GetRootResourceResponse(urn=self._root)

    def SetRootResource(self, request, context):
        self._root = request.urn
        return engine_pb2.SetRootResourceResponse()

    def RequirePulumiVersion(self, request, context):
        return engine_pb2.RequirePulumiVersionResponse()

    def _goal(self, request):
        return Resource(
            urn=self._run.urn(request.type, request.name, request.parent),
            type=request.type,
            custom=request.custom,
            inputs=plain(request.object),
            parent=request.parent,
            dependencies=sorted(request.dependencies),
            protect=request.protect,
            retain=request.retainOnDelete,
        )

    def _refusing(self, context):
        return _Refusing(self._run, context)


class _Refusing:
    """After the first failure nothing more is begun; what fails is told to the program."""

    def __init__(self, run, context):
        self._run, self._context = run, context

    def __enter__(self):
        if self._run.result.errors:
            self._context.abort(grpc.StatusCode.UNAVAILABLE, "resource monitor shut down")

    def __exit__(self, kind, error, trace):
        if isinstance(error, (StepError, ProviderError)):
            self._run.say(str(error), error=True)
            self._context.abort(grpc.StatusCode.UNAVAILABLE, "resource monitor shut down")
