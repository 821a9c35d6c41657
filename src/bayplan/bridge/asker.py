"""Who asks a bridge that stays: it sends what a process has that it starts itself, and another becomes that process.

It hears ``?`` first: one that is stopped says nothing, and would hold what it was sent. Then goes over the socket: the
length of the environment in four bytes, and with them the descriptors of standard input, output and errors, directory
and mount namespace (SCM_RIGHTS); then the environment as /proc/PID/environ has it. Back comes ``+`` when the request is
begun, and the exit code in the end. An end without ``+`` is a refusal: nothing was done. The other side is
``plugins/module_utils/_launch.py``.
"""

from __future__ import annotations

import array
import fcntl
import os
import signal
import socket
import struct
from pathlib import Path

from bayplan.errors import AccessDeniedError

STREAMS = 3
_DESCRIPTORS = STREAMS + 2
_LENGTH = struct.Struct("=I")
_PEER = struct.Struct("3i")
_MOST_ENVIRONMENT = 4 << 20
_PATIENCE_S = 2.0
"""A peer sends its few packets at once, or is none."""
_NAMESPACE = "/proc/self/ns/mnt"
_RIGHTS = (b"Uid", b"Gid", b"Groups", b"NoNewPrivs", b"Seccomp", b"Cap")
"""Lines of proc_pid_status(5)."""


class Asker:
    """One that is this very user with these very rights, in this mount namespace."""

    def __init__(self, connection: socket.socket) -> None:
        """Hear it. Raises AccessDeniedError for another, OSError for one that breaks off."""
        self._connection, self._held = connection, list[int]()
        try:
            self._environment = self._received()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of what it sent."""
        for descriptor in self._held:
            os.close(descriptor)
        self._held.clear()

    def become(self) -> None:
        """Be the process that it waits for, in a session of its own; killed or stopped, it ends this one too."""
        os.setsid()
        for number, descriptor in enumerate(self._held[:STREAMS]):
            os.dup2(descriptor, number)
        os.fchdir(self._held[STREAMS])
        self.close()
        os.environb.clear()
        for item in self._environment.split(b"\0"):
            name, equals, value = item.partition(b"=")
            if name and equals:
                os.environb[name] = value
        self._connection.settimeout(None)
        # When its end of the connection closes, the kernel sends the signal (fcntl(2), "F_SETSIG").
        fcntl.fcntl(self._connection, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(self._connection, fcntl.F_SETSIG, signal.SIGTERM)
        flags = fcntl.fcntl(self._connection, fcntl.F_GETFL)
        fcntl.fcntl(self._connection, fcntl.F_SETFL, flags | os.O_ASYNC)
        self._connection.sendall(b"+")

    def answer(self, code: int) -> None:
        """That the request was answered."""
        self._connection.sendall(b"%d" % code)

    def _received(self) -> bytes:
        pid, user, _ = _PEER.unpack(self._connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        if user != os.geteuid():
            raise AccessDeniedError(f"user {user} is not the one that this bridge is for")
        # The name of the socket says them too, but any process of the user can see that of another.
        if _rights(pid) != _rights("self"):
            raise AccessDeniedError("the asker may do less, or more, than this bridge")
        self._connection.settimeout(_PATIENCE_S)
        self._connection.sendall(b"?")
        room = socket.CMSG_SPACE(_DESCRIPTORS * array.array("i").itemsize)
        flags = socket.MSG_WAITALL | socket.MSG_CMSG_CLOEXEC
        data, rights, _, _ = self._connection.recvmsg(_LENGTH.size, room, flags)
        for level, kind, packed in rights:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self._held.extend(array.array("i", packed))
        if len(data) != _LENGTH.size or len(self._held) != _DESCRIPTORS:
            raise AccessDeniedError("this is no request")
        # Processes of another one, such as those of a container that has the directory mounted, cannot open this one.
        if not os.path.samestat(os.fstat(self._held[-1]), os.stat(_NAMESPACE)):  # noqa: PTH116 - no file
            raise AccessDeniedError("the asker is in another mount namespace")
        (length,) = _LENGTH.unpack(data)
        if length > _MOST_ENVIRONMENT:
            raise AccessDeniedError("this is no environment")
        return self._exactly(length)

    def _exactly(self, length: int) -> bytes:
        received = bytearray()
        while len(received) < length:
            more = self._connection.recv(length - len(received))
            if not more:
                raise ConnectionResetError
            received += more
        return bytes(received)


def _rights(process: int | str) -> list[bytes]:
    status = Path(f"/proc/{process}/status").read_bytes()
    return [line for line in status.splitlines() if line.startswith(_RIGHTS)]
