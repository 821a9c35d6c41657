"""Warnings to Pulumi's engine, which shows them to the user."""

from __future__ import annotations

import contextlib
import threading

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

_SEND_S = 5.0


class Logs:
    """Told at ``address``; to nobody as long as that is empty."""

    def __init__(self, address: str = "") -> None:
        self.address = address
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._said: set[str] = set()

    def warn(self, sentence: str) -> None:
        """Tell it once, if anybody listens: a warning is no reason to fail."""
        with self._lock:
            if not self.address or sentence in self._said:
                return
            self._said.add(sentence)
            if self._channel is None:
                self._channel = grpc.insecure_channel(self.address)
            stub = engine_pb2_grpc.EngineStub(self._channel)
        with contextlib.suppress(grpc.RpcError):
            stub.Log(engine_pb2.LogRequest(severity=engine_pb2.WARNING, message=sentence), timeout=_SEND_S)

    def close(self) -> None:
        """End the connection."""
        if self._channel is not None:
            self._channel.close()
