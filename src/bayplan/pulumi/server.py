"""The plugin's process: started by Pulumi, or by hand for `PULUMI_DEBUG_PROVIDERS=bayplan:PORT`.

``pulumi-resource-bayplan [--logtostderr] [-v=N] [--tracing URL] ENGINE_ADDRESS``. The first line on standard output is
the port of the gRPC service, and nothing else may ever stand there.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from bayplan.pulumi.servicer import Servicer

MESSAGE_BYTES = 400 << 20
"""What Pulumi's own processes send and take at most."""
_AT_ONCE = 128
_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
)
_END_S = 5.0
_LOOK_S = 5.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until Pulumi ends the process, or is gone itself."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    port_line = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever is printed from now on is a log
    servicer = Servicer(engine=_engine(arguments or ()))
    server, port = serve(servicer)
    port_line.write(f"{port}\n")
    port_line.flush()
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    parent = os.getppid()
    while not over.wait(_LOOK_S) and os.getppid() == parent:
        pass  # an engine that was killed ends none of its plugins
    server.stop(_END_S).wait()
    servicer.close()
    return 0


def _engine(arguments: Sequence[str]) -> str:
    """The address of the engine: what is neither a flag nor a flag's value."""
    left = list(arguments)
    if "--tracing" in left:
        del left[left.index("--tracing") : left.index("--tracing") + 2]
    return next((one for one in left if not one.startswith("-")), "")


def serve(servicer: Servicer) -> tuple[grpc.Server, int]:
    """A server on a free port of loopback."""
    server = grpc.server(ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="call"), options=_OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = servicer.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port
