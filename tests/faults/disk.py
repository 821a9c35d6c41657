"""A disk whose power can be taken: an ext4 in a file, mounted by a loop device."""

import fcntl
import os
import secrets
import subprocess
import time
from pathlib import Path

_SHUTDOWN = 0x8004587D  # include/uapi/linux/fs.h: FS_IOC_SHUTDOWN
FLUSHED, LOST = 1, 2
"""What becomes of the file system's journal: it still comes to the disk (LOGFLUSH), or is lost too (NOLOGFLUSH)."""
_BUSY_S = 20.0


class NoLoopError(Exception):
    """This machine has no loop devices to mount."""


class Disk:
    """``file`` is the device and ``top`` where it is mounted; ``cut`` takes its power, ``again`` is the next boot."""

    def __init__(self, top: Path, file: Path, size_bytes: int = 64 << 20):
        self.top, self.file = top, file
        top.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as made:
            made.truncate(size_bytes)
        # In blocks as hosts have them. One as small as this would get blocks of 1 KiB: SQLite makes sure of one byte in
        # each page of its shared memory and no more, so that with blocks smaller than a page a full disk is a SIGBUS.
        subprocess.run(["mkfs.ext4", "-q", "-b", "4096", "-m", "0", file], check=True, timeout=60)
        self._mount()

    def cut(self, journal=LOST):
        """From now on nothing comes to the disk."""
        fd = os.open(self.top, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, journal.to_bytes(4, "little"))
        finally:
            os.close(fd)

    def again(self):
        """A mount of the same device would be that without power, while another process's mounts still have it."""
        self.remove()
        old, self.file = self.file, self.file.with_suffix(f".{secrets.token_hex(4)}")
        subprocess.run(["cp", "--sparse=always", old, self.file], check=True, timeout=60)
        old.unlink()
        self._mount()

    def remove(self):
        """Unmount it; those who had files of it open have just ended."""
        end = time.monotonic() + _BUSY_S
        while (done := subprocess.run(["umount", self.top], check=False, timeout=60, capture_output=True)).returncode:
            if time.monotonic() > end:
                raise AssertionError(done.stderr.decode())
            time.sleep(0.1)

    def _mount(self):
        done = subprocess.run(["mount", "-o", "loop", self.file, self.top], check=False, capture_output=True)
        if done.returncode:
            raise NoLoopError(done.stderr.decode().strip())
