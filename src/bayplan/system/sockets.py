"""Whether a port of the host is free, and who holds it."""

from __future__ import annotations

import errno
import socket
import struct
from contextlib import suppress
from pathlib import Path

_KINDS = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}
_TCP_LISTEN = "0A"  # proc(5), /proc/net/tcp: the state of a socket; udp sockets have another one for all of theirs
_OVER = frozenset({"05", "06", "07", _TCP_LISTEN})
"""States in which nothing is to be sent any more: FIN_WAIT2, TIME_WAIT, CLOSE; and that of a listener."""
_INODE = 9
_IPPROTO_SCTP = 132


def supports(protocol: str) -> bool:
    """Whether the kernel speaks it; SCTP is a module that many hosts lack."""
    try:
        _open(protocol).close()
    except OSError:
        return False
    return True


def _open(protocol: str, address: str = "") -> socket.socket:
    number = _IPPROTO_SCTP if protocol == "sctp" else 0
    opened = socket.socket(_family(address), _KINDS.get(protocol, socket.SOCK_STREAM), number)
    if opened.family == socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return opened


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def is_free(address: str, port: int, protocol: str) -> bool:
    """Whether the address and port could be bound now. One whose address the host does not have counts as free."""
    with _open(protocol, address) as probe:
        if protocol != "udp":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return error.errno != errno.EADDRINUSE
    return True


def listeners(address: str, port: int, protocol: str) -> frozenset[str]:
    """The sockets (inode numbers) that listen where ``address`` and ``port`` would be bound.

    A wildcard address stands in the way of every other one, unless it is an IPv6 socket that takes no IPv4.
    """
    found = set()
    for family in ("6",) if ":" in address else ("", "6"):
        try:
            lines = Path(f"/proc/self/net/{protocol}{family}").read_text().splitlines()[1:]
        except FileNotFoundError:
            continue
        for line in lines:
            fields = line.split()
            where, _, number = fields[1].rpartition(":")
            listens = protocol == "udp" or fields[3] == _TCP_LISTEN
            if int(number, 16) == port and listens and _overlap(where, address):
                found.add(fields[_INODE])
    return frozenset(found)


def served(pid: int) -> int:
    """How many TCP connections to listeners in the network namespace of a process are not over; 0 when it ended."""
    listening, connected = set[str](), list[str]()
    for family in ("", "6"):
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/net/tcp{family}").read_text().splitlines()[1:]:
                _, local, _, state = line.split()[:4]
                port = local.rpartition(":")[2]
                if state == _TCP_LISTEN:
                    listening.add(port)
                elif state not in _OVER:
                    connected.append(port)
    return sum(port in listening for port in connected)


def sockets_of(pid: int) -> frozenset[str]:
    """The sockets (inode numbers) a process holds; none when it is gone or cannot be looked into."""
    found = set()
    with suppress(OSError):
        for item in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                target = str(item.readlink())
                if target.startswith("socket:["):
                    found.add(target[len("socket:[") : -1])
    return frozenset(found)


def holders(inodes: frozenset[str]) -> list[str]:
    """Who holds these sockets, each as ``command (pid N)``. Looks at every process: slow."""
    pids = sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [f"{_command(pid)} (pid {pid})" for pid in pids if inodes & sockets_of(pid)]


def _overlap(where: str, address: str) -> bool:
    """``where`` as /proc/net spells it: an IPv4 address in hexadecimal, in the byte order of the machine."""
    wildcard = set(where) == {"0"}
    if ":" in address:
        packed = socket.inet_pton(socket.AF_INET6, address)
        words = struct.unpack("<4I", packed)
        return wildcard or not any(packed) or where == "".join(f"{word:08X}" for word in words)
    plain = f"{int.from_bytes(socket.inet_aton(address), 'little'):08X}"
    return wildcard or address == "0.0.0.0" or where.endswith(plain)  # noqa: S104 - compared with, not bound


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "a process"


def has_address(address: str) -> bool:
    """Whether the host has an address to bind (ip(7), EADDRNOTAVAIL)."""
    try:
        with socket.socket(_family(address), socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        return error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return True


def listener(path: Path) -> int:
    """The process that listens on a Unix socket (unix(7), SO_PEERCRED). Raises OSError."""
    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect(str(path))
        held = asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", held)[0])
