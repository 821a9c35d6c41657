"""State and addresses of network links by the oldest interface that there is, netdevice(7), without a netlink library.

All of the calling thread's network namespace.
"""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path

_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_SIOCGIFADDR, _SIOCSIFADDR, _SIOCSIFNETMASK = 0x8915, 0x8916, 0x891C
_IFF_UP = 1
_FLAGS, _ADDRESS, _ADDRESS_V6 = "16sH22x", "16sHH4s16x", "16sIi"
_GLOBAL = "00"
"""Scope of an address that others can use (proc_net(5), if_inet6)."""


def is_up(name: str) -> bool | None:
    """Whether a link is up; None for one that is not there."""
    with _asked(socket.AF_INET) as asked:
        try:
            return bool(_flags(asked, name) & _IFF_UP)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise


def state(name: str) -> tuple[bool | None, bool, bool]:
    """Whether it is up (None: not there), has an address of IPv4, and one of IPv6."""
    return is_up(name), has_address(name, six=False), has_address(name, six=True)


def set_up(name: str) -> None:
    """Set a link up. Raises OSError: ENODEV, EPERM."""
    with _asked(socket.AF_INET) as asked:
        fcntl.ioctl(asked, _SIOCSIFFLAGS, struct.pack(_FLAGS, name.encode(), _flags(asked, name) | _IFF_UP))


def has_address(name: str, *, six: bool) -> bool:
    """Whether a link has an address of a family; of IPv6 one that reaches beyond the link."""
    if six:
        lines = Path("/proc/thread-self/net/if_inet6").read_text().splitlines()
        return any(line.split()[5] == name and line.split()[3] == _GLOBAL for line in lines)
    with _asked(socket.AF_INET) as asked:
        try:
            fcntl.ioctl(asked, _SIOCGIFADDR, struct.pack(_ADDRESS, name.encode(), socket.AF_INET, 0, bytes(4)))
        except OSError:
            return False
    return True


def add_address(name: str, address: IPv4Interface | IPv6Interface) -> None:
    """Give a link an address, of IPv4 its first. Raises OSError."""
    if isinstance(address, IPv6Interface):
        with _asked(socket.AF_INET6) as asked:
            packed, index = address.ip.packed, socket.if_nametoindex(name)
            fcntl.ioctl(asked, _SIOCSIFADDR, struct.pack(_ADDRESS_V6, packed, address.network.prefixlen, index))
        return
    with _asked(socket.AF_INET) as asked:
        for call, value in ((_SIOCSIFADDR, address.ip), (_SIOCSIFNETMASK, address.netmask)):
            fcntl.ioctl(asked, call, struct.pack(_ADDRESS, name.encode(), socket.AF_INET, 0, value.packed))


def _asked(family: socket.AddressFamily) -> socket.socket:
    return socket.socket(family, socket.SOCK_DGRAM)


def _flags(asked: socket.socket, name: str) -> int:
    found = fcntl.ioctl(asked, _SIOCGIFFLAGS, struct.pack(_FLAGS, name.encode(), 0))
    return int(struct.unpack(_FLAGS, found)[1])
