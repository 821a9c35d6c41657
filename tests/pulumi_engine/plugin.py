"""The plugin's process, and the questions that a provider is asked, in JSON values."""

import subprocess
import threading

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from pulumi_engine.wire import bare, plain, struct

_BYTES = 400 << 20
_OPTIONS = [("grpc.max_receive_message_length", _BYTES), ("grpc.max_send_message_length", _BYTES)]
_KINDS = ("add", "add-replace", "delete", "delete-replace", "update", "update-replace")


class ProviderError(Exception):
    """What a provider answered instead. ``partly``: what there is of the resource nevertheless."""

    def __init__(self, message, partly=None):
        super().__init__(message)
        self.partly = partly


class Plugin:
    """A plugin's process for one provider, as Pulumi starts it."""

    def __init__(self, command, directory, environment, log):
        self._process = subprocess.Popen(
            [*command, "127.0.0.1:1"], stdout=subprocess.PIPE, stderr=log, cwd=directory, env=environment
        )
        line = self._process.stdout.readline()
        assert line.strip().isdigit(), f"the plugin said {line!r} instead of a port"
        self._channel = grpc.insecure_channel(f"127.0.0.1:{int(line)}", options=_OPTIONS)
        self._stub = provider_pb2_grpc.ResourceProviderStub(self._channel)
        self.is_configured = False
        self._lock = threading.Lock()
        self._ask(
            "Handshake",
            provider_pb2.ProviderHandshakeRequest(
                engine_address="127.0.0.1:1", program_directory=str(directory), configure_with_urn=True
            ),
        )

    def check_config(self, urn, olds, news):
        # The engine takes secrets out of their wrapping here, and only here.
        request = provider_pb2.CheckRequest(urn=urn, olds=struct(bare(olds)), news=struct(bare(news)))
        return _checked(self._ask("CheckConfig", request))

    def diff_config(self, urn, olds, old_outputs, news):
        request = provider_pb2.DiffRequest(
            urn=urn, olds=struct(bare(old_outputs)), old_inputs=struct(bare(olds)), news=struct(bare(news))
        )
        return self._ask("DiffConfig", request)

    def configure(self, inputs):
        texts = {f"bayplan:config:{name}": str(value) for name, value in bare(inputs).items()}
        request = provider_pb2.ConfigureRequest(
            variables=texts,
            args=struct(inputs),
            acceptSecrets=True,
            acceptResources=True,
            sends_old_inputs=True,
            sends_old_inputs_to_delete=True,
        )
        self._ask("Configure", request)
        self.is_configured = True

    def check(self, urn, olds, news, seed):
        request = provider_pb2.CheckRequest(urn=urn, olds=struct(olds), news=struct(news), randomSeed=seed)
        return _checked(self._ask("Check", request))

    def diff(self, old, news, ignored):
        request = provider_pb2.DiffRequest(
            urn=old.urn,
            id=old.id,
            olds=struct(old.outputs),
            old_inputs=struct(old.inputs),
            news=struct(news),
            ignoreChanges=ignored,
        )
        return self._ask("Diff", request)

    def create(self, urn, inputs, *, preview, timeout_s=0):
        request = provider_pb2.CreateRequest(urn=urn, properties=struct(inputs), preview=preview, timeout=timeout_s)
        found = self._ask("Create", request)
        assert preview or found.id, "a resource that was made has an id"
        return found.id, plain(found.properties)

    def update(self, old, news, *, preview, ignored=()):
        request = provider_pb2.UpdateRequest(
            urn=old.urn,
            id=old.id,
            olds=struct(old.outputs),
            old_inputs=struct(old.inputs),
            news=struct(news),
            preview=preview,
            ignoreChanges=ignored,
        )
        return plain(self._ask("Update", request).properties)

    def read(self, urn, id_, inputs, outputs):
        """Id, inputs and outputs of what is there; None when it is not."""
        request = provider_pb2.ReadRequest(
            urn=urn, id=id_, inputs=inputs and struct(inputs), properties=struct(outputs)
        )
        found = self._ask("Read", request)
        return (found.id, plain(found.inputs), plain(found.properties)) if found.id else None

    def delete(self, old):
        request = provider_pb2.DeleteRequest(
            urn=old.urn, id=old.id, properties=struct(old.outputs), old_inputs=struct(old.inputs)
        )
        self._ask("Delete", request)

    def invoke(self, token, args):
        found = self._ask("Invoke", provider_pb2.InvokeRequest(tok=token, args=struct(args)))
        return plain(getattr(found, "return")), _told(found.failures)

    def close(self):
        self._ask("Cancel", empty_pb2.Empty())
        self._channel.close()
        self._process.terminate()
        self._process.wait(30)
        self._process.stdout.close()

    def _ask(self, method, request):
        try:
            return getattr(self._stub, method)(request)
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS):
                raise AssertionError(f"Pulumi would take its state for damaged: {error.details()}") from None
            raise ProviderError(error.details(), _partly(error)) from None


def detailed(found):
    """The detailed difference: path to kind."""
    return {path: _KINDS[one.kind] for path, one in found.detailedDiff.items()}


def _checked(found):
    return plain(found.inputs), _told(found.failures)


def _told(failures):
    return [f"{one.property}: {one.reason}" if one.property else one.reason for one in failures]


def _partly(error):
    """What a resource is of which only the making was ended by an error."""
    for name, value in error.trailing_metadata() or ():
        if name == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(value)
            for detail in status.details:
                found = provider_pb2.ErrorResourceInitFailed()
                if detail.Unpack(found):
                    return found.id, plain(found.inputs), plain(found.properties), list(found.reasons)
    return None
