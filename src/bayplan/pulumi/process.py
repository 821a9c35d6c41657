"""A bridge as a child process: requests of many threads go in, and each is given the answer that has its number."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import IO, Any

from bayplan import __version__
from bayplan.errors import DeclarationError, UnavailableError, UnsupportedError
from bayplan.pulumi.failures import LostError
from bayplan.pulumi.place import Place

_END_S = 10.0
_SHOWN_BYTES = 4000
_GREETING = b'{"bayplan":'


class Bridge:
    """One of them, from its beginning to its end. Raises UnavailableError when none answers at the place."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._waiting: dict[int, Future[dict[str, Any]]] = {}
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self.is_over = False
        try:
            self._process = subprocess.Popen(
                place.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said
            )
        except OSError as error:
            self._said.close()
            raise DeclarationError(f"{place.argv[0]} cannot be run: {error.strerror}", where=place.name) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._into, self._out = self._process.stdin, self._process.stdout
        self._reader = threading.Thread(target=self._read, name="bridge", daemon=True)
        self._greet()
        self._reader.start()
        if place.credentials:
            self.send({"begin": {"credentials": place.credentials}})

    def ask(self, number: int, request: Mapping[str, Any], timeout_s: float | None) -> dict[str, Any]:
        """The answer to one request. Raises LostError when it ends before, or the time has passed."""
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
            what = f"{request['verb']} was not done within {timeout_s:.0f}s"
            raise LostError(what, where=self._place.name) from None

    def send(self, message: Mapping[str, Any]) -> None:
        """A message that is not answered."""
        data = json.dumps(message).encode() + b"\n"
        with self._writing, contextlib.suppress(OSError, ValueError):  # it is over: the reader tells whoever waits
            self._into.write(data)
            self._into.flush()

    def close(self) -> None:
        """The end of its input; it ends when the step that is under way is done."""
        with contextlib.suppress(OSError):  # what was not sent yet has nobody to take it
            self._into.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
            if self._reader.ident is not None:
                self._reader.join(_END_S)
            self._out.close()

    def _greet(self) -> None:
        """Wait for its first line; what a login says before it is no answer."""
        giving_up = threading.Timer(self._place.connect_timeout_s, self._process.kill)
        giving_up.start()
        try:
            line, noise = self._out.readline(), b""
            while line and not line.startswith(_GREETING):
                noise = (noise + line)[-_SHOWN_BYTES:]
                line = self._out.readline()
        finally:
            giving_up.cancel()
        if not line:
            self.close()
            hint = "is bayplan installed there, and does ssh log in without a question?" if self._place.remote else ""
            raise UnavailableError("no bridge answers", where=self._place.name, hint=hint, output=self._output(noise))
        version = str(json.loads(line)["bayplan"])
        if _numbers(version) < _numbers(__version__):
            self.close()
            raise UnsupportedError(
                f"bayplan {version} there is older than the provider, {__version__}",
                where=self._place.name,
                hint="upgrade the package there to that version or a later one",
            )

    def _read(self) -> None:
        try:
            for line in self._out:
                answer = json.loads(line)
                with self._lock:
                    waiting = self._waiting.pop(answer.pop("id", None), None)
                if waiting is not None:
                    waiting.set_result(answer)
        except ValueError:
            pass  # not a bridge's words: nobody can say whose answer is missing
        finally:
            self._end()

    def _end(self) -> None:
        self.is_over = True
        with self._lock:
            left = list(self._waiting.values())
            self._waiting.clear()
        for answer in left:
            answer.set_exception(LostError("the bridge ended", where=self._place.name, output=self._output()))

    def _output(self, first: bytes = b"") -> str:
        """The last of what it said beside its answers."""
        self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, self._said.tell() - _SHOWN_BYTES))
        return (first + self._said.read()).decode(errors="replace").strip()


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.partition("+")[0].split(".") if part.isdigit()]
