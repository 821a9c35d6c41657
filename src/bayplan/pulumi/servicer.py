"""The gRPC service that Pulumi's engine calls: messages in, plain values to the rooms beside, messages out."""

from __future__ import annotations

import functools
import threading
from pathlib import Path
from typing import Any

from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from bayplan import __version__
from bayplan.errors import DeclarationError
from bayplan.pulumi import naming
from bayplan.pulumi.answers import answered, checked, differing, failures
from bayplan.pulumi.logs import Logs
from bayplan.pulumi.values import decode, empty, encode

SCHEMA = Path(__file__).with_name("schema.json")
_ACCEPTS = {"acceptSecrets": True, "acceptResources": True, "acceptOutputs": False}


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """One provider of one program. ``port`` is where it is asked."""

    port = 0

    def __init__(self, directory: Path | None = None, engine: str = "") -> None:
        self._logs = Logs(engine)
        self._directory = directory or Path.cwd()
        self._configured: Any = None
        self._lock = threading.Lock()

    # -- the plugin itself -------------------------------------------------------------------------------------

    @answered
    def Handshake(self, request: Any, context: Any) -> Any:  # noqa: N802 - a name of the service
        """Where the program is, and what is understood."""
        self._logs.address = request.engine_address or self._logs.address
        if request.program_directory:
            self._directory = Path(request.program_directory)
        return provider_pb2.ProviderHandshakeResponse(
            accept_secrets=True, accept_resources=True, accept_outputs=False, supports_autonaming_configuration=True
        )

    @answered
    def Attach(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The engine says where it is."""
        self._logs.address = request.address
        return empty()

    @answered
    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The version."""
        return plugin_pb2.PluginInfo(version=__version__)

    @answered
    def GetSchema(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The package."""
        return provider_pb2.GetSchemaResponse(schema=SCHEMA.read_text())

    @answered
    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Changes that are under way end between two steps."""
        if self._configured is not None:
            self._configured.session.cancel()
        return empty()

    def close(self) -> None:
        """End the connection."""
        if self._configured is not None:
            self._configured.session.close()
        self._logs.close()

    # -- configuration -----------------------------------------------------------------------------------------

    @answered
    def CheckConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The configuration with what is secret marked, and what is wrong with it."""
        from bayplan.pulumi import config

        given = decode(request.news)
        return checked(config.marked(given), config.wrong(config.read(given)))

    @answered
    def DiffConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Another host or engine needs every resource anew."""
        from bayplan.pulumi import config

        return differing(config.differing(decode(request.old_inputs or request.olds), decode(request.news)))

    @answered
    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Take the configuration. Nothing is connected to: the host may not be there yet."""
        from bayplan.pulumi.provider import Provider

        provider = Provider(decode(request.args), self._directory, self._logs.warn)
        with self._lock:
            earlier, self._configured = self._configured, provider
        if earlier is not None:
            earlier.session.close()
        return provider_pb2.ConfigureResponse(**_ACCEPTS, supportsPreview=True, supports_autonaming_configuration=True)

    # -- resources ---------------------------------------------------------------------------------------------

    @answered
    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Inputs with what is made for those that were not given, and what is wrong with them."""
        inputs, wrong = self._provider.check(
            request.urn, decode(request.news), decode(request.olds), functools.partial(_name, request)
        )
        return checked(inputs, wrong)

    @answered
    def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The engine's plan for it."""
        olds, inputs = decode(request.olds), decode(request.old_inputs)
        found = self._provider.diff(
            request.urn, request.id, decode(request.news), inputs or olds, olds, ignored=list(request.ignoreChanges)
        )
        return differing(found)

    @answered
    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Make it; in a preview, what it would be."""
        made, outputs = self._provider.create(
            request.urn, decode(request.properties), preview=request.preview, timeout_s=request.timeout
        )
        return provider_pb2.CreateResponse(id=made, properties=encode(outputs))

    @answered
    def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        """What is there of it. Nothing: an empty answer."""
        found = self._provider.read(request.urn, request.id, decode(request.inputs), decode(request.properties))
        if found is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(id=request.id, properties=encode(found.outputs), inputs=encode(found.inputs))

    @answered
    def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Bring it to its new inputs."""
        olds, inputs = decode(request.olds), decode(request.old_inputs)
        outputs = self._provider.update(
            request.urn,
            request.id,
            decode(request.news),
            inputs or olds,
            olds,
            preview=request.preview,
            timeout_s=request.timeout,
        )
        return provider_pb2.UpdateResponse(properties=encode(outputs))

    @answered
    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Remove it; that it is gone already is no error."""
        olds, inputs = decode(request.properties), decode(request.old_inputs)
        self._provider.delete(request.urn, request.id, inputs or olds, olds, timeout_s=request.timeout)
        return empty()

    @answered
    def Invoke(self, request: Any, context: Any) -> Any:  # noqa: N802
        """A function of the package."""
        found, wrong = self._provider.invoke(request.tok, decode(request.args))
        response = provider_pb2.InvokeResponse(failures=failures(wrong))
        getattr(response, "return").CopyFrom(encode(found))
        return response

    @property
    def _provider(self) -> Any:
        if self._configured is None:
            raise DeclarationError("the provider is not configured yet", where="provider bayplan")
        return self._configured


def _name(request: Any) -> str | None:
    """A name for a resource that is given none, as the user's configuration of Pulumi has it."""
    wished = request.autonaming if request.HasField("autonaming") else None
    if wished is not None and wished.mode == wished.DISABLE:
        return None
    if wished is not None and wished.proposed_name:
        return str(wished.proposed_name)
    return naming.automatic(naming.logical_name(request.urn), request.urn, request.randomSeed)
