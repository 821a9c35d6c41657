"""One connection to one host: a bridge there that answers many requests (``bayplan bridge --serve``).

A child process on this host as well. The core forks, enters namespaces and takes pydantic and netlink along: gRPC's
threads would be in its way, a crash of either would take the other with it, and the plugin would start later. So both
ways are one, and a plugin starts before anything of the engine is loaded.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shlex
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from typing import IO, Any

from bayplan import __version__
from bayplan.errors import DeclarationError, StoppedError, UnavailableError, UnsupportedError
from bayplan.pulumi.failures import LostError, RefusedError
from bayplan.system.ssh import Remote

_LOOKS = frozenset(("observed", "held", "stack_info", "generation"))
"""Verbs that are still asked after a stop: what there is has to be told."""
_END_S = 10.0
_SHOWN_BYTES = 4000


@dataclass(frozen=True)
class Place:
    """Where the engine is, and how it is begun there."""

    remote: Remote | None = None
    command: str = ""
    ssh_options: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    credentials: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    connect_timeout_s: float = 60.0
    timeout_s: float = 900.0
    """Longest wait for what neither pulls nor builds nor waits for a container."""
    lock_timeout: str = "5m"

    @property
    def name(self) -> str:
        """For messages."""
        return f"host {self.remote.host}" if self.remote else "this host"

    @property
    def argv(self) -> list[str]:
        """The bridge as a command of this host."""
        if self.remote is None:
            own = shlex.split(self.command) if self.command else [sys.executable, "-m", "bayplan.bridge"]
            return [*own, "--serve"]
        # A host that went away is noticed; without it a request would wait for as long as TCP does.
        alive = ("-o", "ServerAliveInterval=15", "-o", f"ConnectTimeout={max(1, round(self.connect_timeout_s))}")
        own = [part for option in self.ssh_options for part in ("-o", option)]
        return self.remote.command(f"{self.command or 'bayplan bridge'} --serve", options=(*own, *alive))


class Connection:
    """A bridge begun at the first request, and again at the next one after it has ended. Any thread may ask."""

    def __init__(self, place: Place, warn: Callable[[str], None]) -> None:
        self.place, self.warn = place, warn
        self._lock, self._numbers = threading.Lock(), itertools.count(1)
        self._process: _Process | None = None
        self._is_stopped = False

    def ask(
        self,
        verb: str,
        options: Mapping[str, Any] | None = None,
        *,
        check: bool = False,
        timeout_s: float | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """The answer to one request.

        Raises RefusedError for a failure, UnavailableError when nobody is there, LostError when no answer comes.
        """
        if self._is_stopped and not check and verb not in _LOOKS:
            raise StoppedError(f"{verb} was not begun, as Pulumi was told to stop", hint="run it again to go on")
        request = {"verb": verb, "options": options or {}, "check": check, "settings": self.place.settings, **more}
        answer = self._begun().ask(next(self._numbers), request, timeout_s)
        for warning in (*answer.get("warnings", ()), *(answer.get("plan") or {}).get("warnings", ())):
            self.warn(str(warning))
        if answer.get("failed"):
            raise RefusedError.of(answer)
        return answer

    def stop(self) -> None:
        """What is under way ends between two steps, and no further change is begun."""
        self._is_stopped = True
        with self._lock:
            if self._process is not None:
                self._process.send({"stop": True})

    def close(self) -> None:
        """End the bridge."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.close()

    def _begun(self) -> _Process:
        with self._lock:
            if self._process is None or self._process.is_over:
                if self._process is not None:
                    self._process.close()
                self._process = _Process(self.place)
            return self._process


class _Process:
    """One bridge, from its beginning to its end."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._waiting: dict[int, Future[dict[str, Any]]] = {}
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self.is_over = False
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        try:
            self._process = subprocess.Popen(
                place.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, env=environment
            )
        except OSError as error:
            self._said.close()
            raise DeclarationError(f"{place.argv[0]} cannot be run: {error.strerror}", where=place.name) from error
        self._greet()
        threading.Thread(target=self._read, name="bridge", daemon=True).start()
        if place.credentials:
            self.send({"begin": {"credentials": place.credentials}})

    def ask(self, number: int, request: Mapping[str, Any], timeout_s: float | None) -> dict[str, Any]:
        answer: Future[dict[str, Any]] = Future()
        with self._lock:
            self._waiting[number] = answer
        if self.is_over:
            self._end()
        self.send({"id": number, **request})
        try:
            return answer.result(timeout_s)
        except FutureTimeoutError:
            with self._lock:
                self._waiting.pop(number, None)
            raise LostError(f"{request['verb']} was not done within {timeout_s:.0f}s", where=self._place.name) from None

    def send(self, message: Mapping[str, Any]) -> None:
        data = json.dumps(message).encode() + b"\n"
        assert self._process.stdin is not None
        with self._writing, contextlib.suppress(OSError, ValueError):  # it is over: the reader tells whoever waits
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def close(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # what was not sent yet has nobody to take it
            self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _greet(self) -> None:
        """Wait for its first line, so that what does not answer is told as that. Raises UnavailableError."""
        assert self._process.stdout is not None
        giving_up = threading.Timer(self._place.connect_timeout_s, self._process.kill)
        giving_up.start()
        try:
            line = self._process.stdout.readline()
        finally:
            giving_up.cancel()
        if line.startswith(b'{"bayplan":'):
            self._refuse_older(str(json.loads(line)["bayplan"]))
        else:
            self.close()
            hint = "is bayplan installed there, and does ssh log in without a question?" if self._place.remote else ""
            raise UnavailableError("no bridge answers", where=self._place.name, hint=hint, output=self._output(line))

    def _refuse_older(self, version: str) -> None:
        """A bridge knows nothing of what a later provider asks for."""
        if _numbers(version) < _numbers(__version__):
            self.close()
            raise UnsupportedError(
                f"bayplan {version} there is older than the provider, {__version__}",
                where=self._place.name,
                hint="upgrade the package there to that version or a later one",
            )

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            with self._lock:
                waiting = self._waiting.pop(answer.pop("id", None), None)
            if waiting is not None:
                waiting.set_result(answer)
        self._end()

    def _end(self) -> None:
        self.is_over = True
        with self._lock:
            left = list(self._waiting.values())
            self._waiting.clear()
        for answer in left:
            error = LostError("the bridge ended", where=self._place.name, output=self._output())
            answer.set_exception(error)

    def _output(self, first: bytes = b"") -> str:
        self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, self._said.tell() - _SHOWN_BYTES))
        return (first + self._said.read()).decode(errors="replace").strip()


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.partition("+")[0].split(".") if part.isdigit()]
