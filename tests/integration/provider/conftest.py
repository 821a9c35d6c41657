"""A plugin for each test, on a native core of its own."""

import os
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import engine_pb2_grpc

from plugin import Core, plugin


@pytest.fixture
def core():
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = Core()
    yield made
    made.clean()


@pytest.fixture
def pulumi(core):
    with plugin(core.configuration) as started:
        yield started


@pytest.fixture
def engine():
    """Where a plugin's warnings go: ``address``, and what was ``said``, severity and sentence."""
    said = []

    class Engine(engine_pb2_grpc.EngineServicer):
        def Log(self, request, context):  # noqa: N802 - a name of the service
            said.append((request.severity, request.message))
            return Empty()

    server = grpc.server(ThreadPoolExecutor(1))
    engine_pb2_grpc.add_EngineServicer_to_server(Engine(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield SimpleNamespace(address=f"127.0.0.1:{port}", said=said)
    server.stop(None)
