"""Many requests on one connection: a line of JSON each, answered in the order in which they are done.

The first line out says who answers: ``{"bayplan": VERSION}``. A request is as ``bridge.main`` has it, with an ``id``
that comes back with its answer; requests are worked on beside each other, over engines that stay open. Beside them:

    {"begin": {"credentials": {REGISTRY: {"username", "password"}}}}    before the first request; kept in memory alone
    {"stop": true}                                                      what is under way ends between two steps

The end of the input stops as well: who asked is gone.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, redirect_stdout
from typing import Any, BinaryIO

from bayplan import __version__, app, engines
from bayplan.bridge.main import answer_to
from bayplan.errors import UnavailableError, unforeseen

# Before there are threads: requests load what they need, one this package and another first a module in it. Each would
# wait for the other, which Python ends by an error in either (importlib._bootstrap, "_DeadlockError").
from bayplan.load import compose as _compose  # noqa: F401
from bayplan.models import Settings
from bayplan.reconcile.stop import Stop
from bayplan.registry.auth import Credentials
from bayplan.runtime.protocol import Runtime

_AT_ONCE = 64
"""Most wait: for the lock of the host, for a container to become healthy."""
_AUTH_FILE = "REGISTRY_AUTH_FILE"


class Engines:
    """Engines by their settings, opened at their first use and kept open for the next one."""

    def __init__(self) -> None:
        self._held, self._lock = ExitStack(), threading.Lock()
        self._open: dict[str, Runtime] = {}

    @contextmanager
    def opened(self, settings: Settings) -> Iterator[Runtime]:
        """As ``engines.open_runtime``, but left open. One that does not answer is opened anew the next time."""
        key = settings.model_dump_json()
        with self._lock:
            if key not in self._open:
                self._open[key] = self._held.enter_context(engines.open_runtime(settings))
            runtime = self._open[key]
        try:
            yield runtime
        except UnavailableError:
            if settings.engine != "native":
                with self._lock:
                    self._open.pop(key, None)
            raise

    def close(self) -> None:
        """Close every one of them."""
        self._held.close()


class Server:
    """Answers requests until there are no more."""

    def __init__(self, out: BinaryIO) -> None:
        self._out, self._writing = out, threading.Lock()
        self._stop, self._engines, self._held = Stop(), Engines(), ExitStack()

    def serve(self, lines: BinaryIO) -> None:
        """Read to the end; what is under way then ends between two steps."""
        self._write({"bayplan": __version__})
        with self._held, ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="request") as pool:
            for line in lines:
                self._take(line, pool)
            self._stop.event.set()
        self._engines.close()

    def _take(self, line: bytes, pool: ThreadPoolExecutor) -> None:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            self._write({"id": None, "failed": True, "msg": "a request is a line with an object of JSON"})
        elif "begin" in request:
            self._begin(request["begin"])
        elif request.get("stop"):
            self._stop.event.set()
            self._stop = Stop()  # for what is asked from now on
        else:
            pool.submit(self._answer, request, self._stop)

    def _answer(self, request: dict[str, Any], stop: Stop) -> None:
        number = request.pop("id", None)
        try:
            with app.stopped_by(stop):
                response = answer_to(request, self._engines.opened)
        except BaseException as error:  # noqa: BLE001 - the asker waits for an answer, whatever went wrong
            response = {"failed": True, "msg": unforeseen(error), "where": str(request.get("verb"))}
        self._write({"id": number, **response})

    def _write(self, answer: Mapping[str, Any]) -> None:
        data = json.dumps(answer).encode() + b"\n"
        with self._writing:
            self._out.write(data)
            self._out.flush()

    def _begin(self, given: Mapping[str, Any]) -> None:
        """Credentials where the registry's client looks first: in memory that ends with this process."""
        auths = {
            registry: {"auth": Credentials(one.get("username", ""), one.get("password", "")).encoded}
            for registry, one in (given.get("credentials") or {}).items()
        }
        if auths:
            file = self._held.enter_context(os.fdopen(os.memfd_create("auth.json"), "wb", buffering=0))
            file.write(json.dumps({"auths": auths}).encode())
            os.environ[_AUTH_FILE] = f"/proc/{os.getpid()}/fd/{file.fileno()}"


def main() -> int:
    """Serve on the standard streams."""
    out = sys.stdout.buffer
    with redirect_stdout(sys.stderr):
        Server(out).serve(sys.stdin.buffer)
    return 0
