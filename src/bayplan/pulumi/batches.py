"""Requests for single resources that come at about one time, made one: one plan, one apply, one lock of the host.

Pulumi asks for each resource by itself, many at once. While one batch is under way the next one gathers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from bayplan.pulumi.connection import Connection

_GATHER_S = 0.004
"""How long the first waits for others; they come within one or two milliseconds of each other."""
_MOST = 100

Answer = Mapping[str, Any]


class Batches:
    """Asks for each as part of a batch, and gives each its own answer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._gathering, self._sending = threading.Lock(), threading.Lock()
        self._left: list[tuple[Mapping[str, Any], Future[Answer]]] = []

    def ask(self, item: Mapping[str, Any], timeout_s: float | None = None) -> Answer:
        """The answer for one resource (``bayplan.bridge.singles``). Raises what the whole request raised."""
        mine: Future[Answer] = Future()
        with self._gathering:
            self._left.append((item, mine))
            is_first = len(self._left) == 1
        if is_first:
            time.sleep(_GATHER_S)
        with self._sending:
            if not mine.done():
                self._send(self._taken(), timeout_s)
        return mine.result()

    def _taken(self) -> list[tuple[Mapping[str, Any], Future[Answer]]]:
        """What goes together: of two requests for one resource the later one waits for the next batch."""
        taken: list[tuple[Mapping[str, Any], Future[Answer]]] = []
        later: list[tuple[Mapping[str, Any], Future[Answer]]] = []
        names: set[tuple[str, str]] = set()
        with self._gathering:
            for item, answer in self._left:
                name = (item["kind"], item["name"])
                fits = name not in names and len(taken) < _MOST
                (taken if fits else later).append((item, answer))
                names.add(name)
            self._left = later
        return taken

    def _send(self, batch: list[tuple[Mapping[str, Any], Future[Answer]]], timeout_s: float | None) -> None:
        try:
            options = {
                "resources": [item for item, _ in batch],
                "lock_timeout": self._connection.place.lock_timeout,
            }
            answer = self._connection.ask("singles", options, timeout_s=timeout_s)
            for (_, waiting), found in zip(batch, answer["answers"], strict=True):
                waiting.set_result(found)
        except BaseException as error:
            for _, waiting in batch:
                if not waiting.done():
                    waiting.set_exception(error)
            if not isinstance(error, Exception):
                raise
