"""A bridge that stays for the next request, with all loaded: most of a request's time is the start of its process.

The process that was started answers its request, and leaves another that listens at a socket, forks for each request
that follows, and ends when none came for some seconds. A request is worked on by a process of its own, with the asker's
streams, environment and directory (``bridge.asker``): nothing of one request is known to the next.
Why this is safe, and what it costs: docs/decisions/0018-bridges-that-stay.md.
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bayplan.bridge import loaded
from bayplan.bridge.asker import STREAMS, Asker
from bayplan.errors import AccessDeniedError
from bayplan.system import files

_NAME = "bayplan-bridge"

Answer = Callable[[], int]


def answer_and_stay(answer: Answer, path: Path, idle_s: float) -> int:
    """Answer the request of this process; another stays at ``path`` until it was idle for that long."""
    known = loaded.names()
    try:
        own = os.pidfd_open(os.getpid())
        reading, writing = loaded.pipe()
        pid = os.fork()
    except OSError:  # a kernel without pidfds, or no process more
        return answer()
    if pid == 0:
        try:
            _detach({reading, own})
            _Staying(path, idle_s, answer).serve(own, reading)
        finally:
            os._exit(0)
    os.close(reading)
    code = answer()
    loaded.tell(writing, known)
    return code


def remove_killed(folder: Path) -> None:
    """Remove the sockets of those that were killed, on which nobody listens any more."""
    for path in folder.glob("[!.]*"):
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(str(path))  # of another type than one that lives (EPROTOTYPE), which hears nothing of it
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)


def _detach(kept: set[int]) -> None:
    """Hold nothing of who started this: no terminal, no pipe whose end somebody waits for, no directory."""
    os.setsid()
    os.chdir("/")
    Path("/proc/self/comm").write_text(_NAME)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(STREAMS):
        os.dup2(nothing, stream)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers, not files
        if int(name) >= STREAMS and int(name) not in kept:
            with suppress(OSError):
                os.close(int(name))


class _Staying:
    """Listens, and forks. One thread, as a fork wants it."""

    def __init__(self, path: Path, idle_s: float, answer: Answer) -> None:
        self._path, self._idle_s, self._answer = path, idle_s, answer
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._working: dict[int, int] = {}
        """pidfd of a process with a request, and the pipe by which it tells."""
        self._sources = loaded.Sources()
        self._is_over, self._own = False, 0
        """``_own``: the inode of the socket."""

    def serve(self, first: int, pipe: int) -> None:
        """Until nobody came for the time; ``first``, a pidfd, is who started this process and tells by ``pipe``."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # the socket goes too
        self._listen()
        self._sources.note()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._await(first, pipe)
        try:
            while not self._is_over and (ready := self._selector.select(None if self._working else self._idle_s)):
                for key, _ in ready:
                    if key.fileobj is self._listener:
                        self._take()
                    else:
                        self._ended(key.fd)
                self._is_over = self._is_over or not self._is_reached()
        finally:
            if self._is_reached():
                self._path.unlink(missing_ok=True)

    def _is_reached(self) -> bool:
        """Whether askers come here: of several that were started at once, the last took the place of the others."""
        with suppress(OSError):
            return self._path.stat().st_ino == self._own
        return False

    def _listen(self) -> None:
        """The socket is there at once or not at all, for this user alone."""
        files.private_directory(self._path.parent)
        remove_killed(self._path.parent)
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        umask = os.umask(0o177)
        try:
            self._listener.bind(str(beside))
        finally:
            os.umask(umask)
        self._listener.listen(16)
        self._own = beside.stat().st_ino
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as replaced:
            replaced.setblocking(False)
            with suppress(OSError):
                replaced.connect(str(self._path))  # one that is there hears the end of this, and ends too
            beside.rename(self._path)

    def _await(self, process: int, pipe: int) -> None:
        self._working[process] = pipe
        self._selector.register(process, selectors.EVENT_READ)

    def _ended(self, process: int) -> None:
        self._selector.unregister(process)
        pipe = self._working.pop(process)
        with suppress(ChildProcessError):  # the one that started this is no child
            os.waitid(os.P_PIDFD, process, os.WEXITED)
        loaded.learn(pipe)
        self._sources.note()
        os.close(process)
        os.close(pipe)

    def _take(self) -> None:
        connection, _ = self._listener.accept()
        with connection, suppress(OSError, AccessDeniedError):  # it goes away unanswered, and starts a bridge itself
            asker = Asker(connection)
            try:
                self._is_over = self._sources.changed()
                if not self._is_over:
                    self._fork(asker)
            finally:
                asker.close()

    def _fork(self, asker: Asker) -> None:
        reading, writing = loaded.pipe()
        gc.freeze()  # what is there is shared with the child as long as nobody writes to it
        if pid := os.fork():
            os.close(writing)
            self._await(os.pidfd_open(pid), reading)
            return
        code = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._selector.close()
            for descriptor in (self._listener.detach(), reading, *self._working, *self._working.values()):
                os.close(descriptor)
            known = loaded.names()
            asker.become()
            code = self._answer()
            sys.stdout.flush()
            asker.answer(code)
            loaded.tell(writing, known)
        finally:
            os._exit(code)
