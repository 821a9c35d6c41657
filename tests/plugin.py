"""The Pulumi plugin as a process of its own, asked over gRPC as Pulumi's engine asks it."""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import grpc
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

import promised
from bayplan.models import Settings
from bayplan.pulumi import names
from bayplan.pulumi.configuration import Configuration
from bayplan.pulumi.values import decode, encode
from busybox import add_busybox

SEED = b"seed"
_OPTIONS = (("grpc.max_receive_message_length", 400 << 20), ("grpc.max_send_message_length", 400 << 20))


class CallError(Exception):
    """What Pulumi would show: the status, its sentence, and what was half made."""

    def __init__(self, error):
        super().__init__(f"{error.code().name}: {error.details()}")
        self.code, self.text = error.code().name, error.details()
        details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
        self.partly = None
        if details is not None:
            self.partly = provider_pb2.ErrorResourceInitFailed()
            assert status_pb2.Status.FromString(details).details[0].Unpack(self.partly)


class Plugin:
    """One plugin process, configured for one host."""

    def __init__(self, configuration, environment=None, argv=None, stderr=None):
        self.process = subprocess.Popen(
            argv or [sys.executable, "-m", "bayplan.pulumi", "--logtostderr", "-v=3", "127.0.0.1:1"],
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, **(environment or {})},
        )
        self.port = int(self.process.stdout.readline())
        self._channel = grpc.insecure_channel(f"127.0.0.1:{self.port}", options=_OPTIONS)
        self.stub = provider_pb2_grpc.ResourceProviderStub(self._channel)
        if configuration is not None:
            self.call("Configure", args=encode(configuration))

    def call(self, method, /, **fields):
        try:
            request = getattr(provider_pb2, f"{method.removesuffix('Config')}Request")
            return getattr(self.stub, method)(request(**fields))
        except grpc.RpcError as error:
            raise CallError(error) from error

    def cancel(self):
        self.stub.Cancel(Empty())

    def check(self, kind, news, olds=None, name="it", seed=SEED):
        """Inputs, and path to reason of what is wrong."""
        found = self.call("Check", urn=urn(kind, name), news=encode(news), olds=encode(olds or {}), randomSeed=seed)
        return decode(found.inputs), {one.property: one.reason for one in found.failures}

    def checked(self, kind, news, olds=None, name="it"):
        inputs, wrong = self.check(kind, news, olds, name)
        assert wrong == {}
        return inputs

    def create(self, kind, inputs, name="it", **fields):
        made = self.call("Create", urn=urn(kind, name), properties=encode(inputs), **fields)
        outputs = decode(made.properties)
        promised.resource(kind, outputs)
        return made.id, outputs

    def diff(self, kind, id_, olds, state, news, **fields):
        return self.call("Diff", **_diffed(kind, id_, olds, state, news), **fields)

    def differ(self, kind, id_, olds, state, news):
        """The same as something to be called many times: only the answer's way is in it."""
        request = provider_pb2.DiffRequest(**_diffed(kind, id_, olds, state, news))
        return lambda: self.stub.Diff(request)

    def update(self, kind, id_, olds, state, news, **fields):
        made = self.call(
            "Update",
            urn=urn(kind, "it"),
            id=id_,
            olds=encode(state),
            old_inputs=encode(olds),
            news=encode(news),
            **fields,
        )
        outputs = decode(made.properties)
        promised.resource(kind, outputs)
        return outputs

    def read(self, kind, id_, inputs=None, state=None):
        """Inputs and state; None when there is nothing."""
        found = self.call(
            "Read", urn=urn(kind, "it"), id=id_, properties=encode(state or {}), inputs=encode(inputs or {})
        )
        if not found.id:
            return None
        outputs = decode(found.properties)
        promised.resource(kind, outputs)
        return decode(found.inputs), outputs

    def delete(self, kind, id_, state=None):
        self.call("Delete", urn=urn(kind, "it"), id=id_, properties=encode(state or {}), old_inputs=encode(state or {}))

    def invoke(self, function, args):
        found = self.call("Invoke", tok=f"bayplan:index:{function}", args=encode(args))
        answer = decode(getattr(found, "return"))
        if not found.failures:
            promised.function(function, answer)
        return answer, {one.property: one.reason for one in found.failures}

    def close(self):
        self._channel.close()
        self.process.terminate()
        try:
            assert self.process.wait(30) in (0, -9)  # a test may have killed it
        finally:
            self.process.kill()
            self.process.stdout.close()


def _diffed(kind, id_, olds, state, news):
    given = {"olds": encode(state), "old_inputs": encode(olds), "news": encode(news)}
    return {"urn": urn(kind, "it"), "id": id_, **given}


def urn(kind, name):
    return f"urn:pulumi:dev::tests::bayplan:index:{kind}::{name}"


def kinds(found):
    """Path to the word of its kind, of a detailed difference."""
    return {
        path: provider_pb2.PropertyDiff.Kind.Name(one.kind).lower().replace("_", "-")
        for path, one in found.detailedDiff.items()
    }


class Core:
    """The places of one native core, and its configuration as a program gives it."""

    def __init__(self):
        self.tag = secrets.token_hex(2)
        self.state, self.run = Path(f"/var/lib/bayplan-tests/{self.tag}"), Path(f"/run/bayplan-tests/{self.tag}")
        self.settings = Settings(
            engine="native",
            state_root=self.state,
            run_root=self.run,
            address_pool="10.219.0.0/16",
            interface_prefix=f"p{self.tag[:3]}",
            nft_table=f"bayplan_test_{self.tag}",
            cgroup_parent=f"/bayplan-test-{self.tag}",
            secrets_root=self.state / "secrets",
            configs_root=self.state / "configs",
        )
        self.values = json.loads(self.settings.model_dump_json(exclude_unset=True))
        self.configuration = names.properties(Configuration, self.values)
        add_busybox(self.state / "images")

    def clean(self):
        """Remove every resource outside of projects, and the core's files."""
        from bayplan import app
        from bayplan.engines import open_runtime
        from bayplan.models import Kind, Stack

        with open_runtime(self.settings) as runtime:
            there = [*runtime.containers_there(), *(item for item, _ in runtime.networks_there())]
            there += [item for item, _ in runtime.volumes_there()]
            for project in {item.project for item in there} - {""}:
                plan = app.plan_destroy(project, runtime, volumes=True)
                app.apply(plan, runtime, self.settings).raise_failure()
            alone = [item.id for item in there if not item.project]
            for kinds_ in ({Kind.CONTAINER}, {Kind.NETWORK, Kind.VOLUME}):
                absent = [one for one in alone if one.kind in kinds_]
                app.apply(app.plan(Stack(name=""), runtime, absent=absent), runtime, self.settings).raise_failure()
        for path in (self.state, self.run):
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def plugin(configuration, **options):
    started = Plugin(configuration, **options)
    try:
        yield started
    finally:
        started.close()
