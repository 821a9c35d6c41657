"""Requests for single resources that come at about one time, made one: one plan, one apply, one lock of the host.

Pulumi asks for each resource by itself, many at once. While one batch is under way the next one gathers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from bayplan.pulumi.connection import Connection
from bayplan.pulumi.failures import LostError

_GATHER_S = 0.004
"""How long the first waits for others; they come within one or two milliseconds of each other."""
_MOST = 100

Answer = Mapping[str, Any]


class Batches:
    """Asks for each as part of a batch, and gives each its own answer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="batch")
        self._left: list[tuple[Mapping[str, Any], Future[Answer]]] = []

    def ask(self, item: Mapping[str, Any], timeout_s: float | None = None) -> Answer:
        """The answer for one resource (``bayplan.bridge.singles``).

        Raises what the whole request raised; LostError when ``timeout_s`` has passed, as it goes on.
        """
        mine: Future[Answer] = Future()
        with self._lock:
            self._left.append((item, mine))
        self._sender.submit(self._send)
        try:
            return mine.result(timeout_s)
        except FutureTimeoutError:
            where = f"{item['kind']} {item['name']}"
            raise LostError(f"not done within {timeout_s:.0f}s, and still under way", where=where) from None

    def _send(self) -> None:
        if not self._left:
            return  # it went with the batch before
        time.sleep(_GATHER_S)
        batch = self._taken()
        options = {"resources": [item for item, _ in batch], "lock_timeout": self._connection.place.lock_timeout}
        try:
            answers = self._connection.ask("singles", options)["answers"]
            for (_, waiting), found in zip(batch, answers, strict=True):
                waiting.set_result(found)
        except Exception as error:  # noqa: BLE001 - whoever waits raises it
            for _, waiting in batch:
                if not waiting.done():
                    waiting.set_exception(error)

    def _taken(self) -> list[tuple[Mapping[str, Any], Future[Answer]]]:
        """What goes together: of two requests for one resource the later one waits for the next batch."""
        taken: list[tuple[Mapping[str, Any], Future[Answer]]] = []
        later: list[tuple[Mapping[str, Any], Future[Answer]]] = []
        names: set[tuple[str, str]] = set()
        with self._lock:
            for item, answer in self._left:
                name = (item["kind"], item["name"])
                (taken if name not in names and len(taken) < _MOST else later).append((item, answer))
                names.add(name)
            self._left = later
        return taken
