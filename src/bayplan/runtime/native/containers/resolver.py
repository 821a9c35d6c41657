"""What a container is told of names and networks: hosts, hostname, resolv.conf, and its namespace in the bundle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from bayplan.system.files import write_private
from bayplan.values import frozen

if TYPE_CHECKING:
    from bayplan.models import Container

_HOSTS = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
_NEW_NETWORK = json.dumps({"type": "network"})
_PEERS = b"# peers\n"  # the begin of what ``networks.names`` keeps up to date
_MOST_BYTES = 64 * 1024  # a container can write its hosts file: never read more than this of it
_HOST_RESOLV_CONF = Path("/etc/resolv.conf")
# systemd-resolved.service(8): the servers behind its stub on loopback.
_RESOLVED_UPSTREAM = Path("/run/systemd/resolve/resolv.conf")


@frozen
class Told:
    """A container's own name and addresses (by network), and whom it asks for names."""

    hostname: str
    addresses: Mapping[str, str]
    name_server: IPv4Address | IPv6Address | None = None
    """Answers for its networks and asks the host's servers for the rest; None leaves it those of the host."""
    domainname: str = ""
    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    """What was declared for resolv.conf(5), instead of what the host has."""


def write(bundle: Path, config: str, netns: Path | None, told: Told) -> None:
    """Write the three files, and config.json (``config`` as JSON text) with the namespace in it."""
    own = "".join(f"{address}\t{_names(told)}\n" for address in sorted(set(told.addresses.values())))
    files = {
        "hosts": _HOSTS + own,
        "hostname": f"{told.hostname}\n",
        "resolv.conf": declared(_resolv_conf(netns, told), told),
    }
    for name, text in files.items():
        # Plainly: a start that is cut here begins anew. Readable by every user of the container.
        path = f"{bundle}/{name}"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.write(fd, text.encode())
            os.fchmod(fd, 0o644)
        finally:
            os.close(fd)
    if netns is not None:
        # In the text: to read and write the whole of it would take longer than all else here. Within a string of JSON
        # quotes are escaped, so that this is found nowhere else.
        config = config.replace(_NEW_NETWORK, json.dumps({"type": "network", "path": str(netns)}), 1)
    write_private(bundle / "config.json", config)


def told(
    container: Container, hostname: str, addresses: Mapping[str, str], name_server: IPv4Address | IPv6Address | None
) -> Told:
    """With what its declaration says of names."""
    servers = tuple(map(str, container.dns))
    options = container.dns_search, container.dns_opt
    return Told(hostname, addresses, name_server, container.domainname or "", servers, *options)


def rewrite(bundle: Path, told: Told) -> None:
    """Hosts and resolv.conf of a running container, in place: it has these very inodes bound. Its peers stay listed."""
    own = "".join(f"{address}\t{_names(told)}\n" for address in sorted(set(told.addresses.values())))
    texts = {"hosts": _HOSTS + own, "resolv.conf": declared(_resolv_conf(bundle, told), told)}
    for name, text in texts.items():
        fd = os.open(bundle / name, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            whole = text.encode()
            if name == "hosts":
                whole += b"".join(os.pread(fd, _MOST_BYTES, 0).partition(_PEERS)[1:])
            os.pwrite(fd, whole, 0)
            os.ftruncate(fd, len(whole))
        finally:
            os.close(fd)


def _names(told: Told) -> str:
    return f"{told.hostname}.{told.domainname} {told.hostname}" if told.domainname else told.hostname


def _resolv_conf(netns: Path | None, told: Told) -> str:
    host = _read(_HOST_RESOLV_CONF)
    return host if netns is None else inside(host, told.name_server, _read(_RESOLVED_UPSTREAM))


def declared(text: str, told: Told) -> str:
    """A resolv.conf(5) with the declared servers, search list and options instead of its own.

    Declared servers are asked by the container itself: peers it then finds by its hosts file.
    """
    lines = text.splitlines()
    if told.servers:
        lines = [*(f"nameserver {server}" for server in told.servers), *(one for one in lines if not _is_server(one))]
    for word, wanted in (("search", told.search), ("options", told.options)):
        if wanted:
            lines = [one for one in lines if one.split()[:1] not in ([word], ["domain" if word == "search" else word])]
            lines += [f"{word} {' '.join(wanted)}"] if wanted != (".",) else []
    return "".join(f"{line}\n" for line in lines)


def inside(host: str, name_server: IPv4Address | IPv6Address | None, upstream: str = "") -> str:
    """The resolv.conf(5) of a container: the host's search list and options, and servers that it can reach.

    Those are the name server of its network; without one the host's but those on loopback, which in another network
    namespace are somebody else; and when nothing is left the ``upstream`` that a stub on loopback asks.
    """
    lines = [line for line in host.splitlines() if line.strip()]
    servers = [line for line in lines if _is_server(line)]
    others = [line for line in lines if not _is_server(line)]
    if name_server is not None:
        servers = [f"nameserver {name_server}"]
        if not any("ndots:" in line for line in others if line.split()[0] == "options"):
            # A name of one word is a peer's first; the host's search list would take it to strangers before.
            others.append("options ndots:0")
    else:
        reachable = [line for line in servers if not _is_loopback(line)]
        if servers and not reachable:
            reachable = [line for line in upstream.splitlines() if _is_server(line) and not _is_loopback(line)]
        servers = reachable
    return "".join(f"{line}\n" for line in (*servers, *others))


def _is_server(line: str) -> bool:
    words = line.split()
    return len(words) > 1 and words[0] == "nameserver"


def _is_loopback(line: str) -> bool:
    try:
        return ip_address(line.split()[1].partition("%")[0]).is_loopback
    except ValueError:
        return False


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
