"""State of network links by the oldest interface that there is (netdevice(7)): no netlink library is loaded for it."""

from __future__ import annotations

import errno
import fcntl
import socket
import struct

_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_IFF_UP = 1
_IFREQ = "16sH22x"


def is_up(name: str) -> bool | None:
    """Whether a link of the calling thread's network namespace is up; None for one that is not there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            return bool(_flags(asked, name) & _IFF_UP)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise


def set_up(name: str) -> None:
    """Set a link up. Raises OSError: ENODEV, EPERM."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        request = struct.pack(_IFREQ, name.encode(), _flags(asked, name) | _IFF_UP)
        fcntl.ioctl(asked, _SIOCSIFFLAGS, request)


def _flags(asked: socket.socket, name: str) -> int:
    found = fcntl.ioctl(asked, _SIOCGIFFLAGS, struct.pack(_IFREQ, name.encode(), 0))
    return int(struct.unpack(_IFREQ, found)[1])
