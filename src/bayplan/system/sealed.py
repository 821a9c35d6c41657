"""A program run from a sealed copy in memory.

An OCI runtime that is root enters a container with its own binary open, which the container could overwrite
(CVE-2019-5736). crun and runc guard themselves: each start copies the binary to a sealed memfd and starts that once
more. Started from a sealed memfd at once they see that nothing can be written there (memfd_create(2), F_GET_SEALS) and
skip copy and second start: about 5 ms of processor time for each container.
"""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

_F_ADD_SEALS = 1033  # fcntl(2)
_SEALS = 0x0F  # F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE: exactly what crun and runc look for
_MFD_EXEC = 0x10  # Linux 6.3; older kernels refuse the flag and always allow execution


class SealedProgram:
    """The copy of one program, made at first use and anew when the file was replaced. Safe to use from many threads."""

    def __init__(self, program: str) -> None:
        self.program = program
        self._lock = threading.Lock()
        self._source: tuple[int, int, int] | None = None
        self._fd = -1

    def path(self) -> str:
        """A path that any process of this PID namespace can execute while this process lives.

        The program's own path where the kernel allows no executable memfd (sysctl vm.memfd_noexec).
        """
        found = Path(self.program).stat()
        source = (found.st_dev, found.st_ino, found.st_mtime_ns)
        with self._lock:
            if source != self._source:
                self.close()
                self._fd, self._source = _copy(self.program), source
            return self.program if self._fd < 0 else f"/proc/{os.getpid()}/fd/{self._fd}"

    def close(self) -> None:
        """Free the memory."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._source = -1, None


def _copy(program: str) -> int:
    """A sealed memfd with the program's content; -1 when this kernel gives none that can be executed."""
    try:
        fd = _memfd(Path(program).name)
    except OSError:
        return -1
    try:
        with open(program, "rb") as source, open(fd, "wb", closefd=False) as target:  # noqa: PTH123 - a descriptor
            target.write(source.read())
        fcntl.fcntl(fd, _F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _memfd(name: str) -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(name, flags | _MFD_EXEC)
    except OSError:
        return os.memfd_create(name, flags)
