"""What a container is told of names and networks: hosts, hostname, resolv.conf, and its namespace in the bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path

from bayplan.system.files import atomic_write

_HOSTS = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
_HOST_RESOLV_CONF = Path("/etc/resolv.conf")


def write(bundle: Path, netns: Path | None, hostname: str, addresses: Mapping[str, str]) -> None:
    """Write the three files, and the namespace into config.json of the bundle."""
    own = "".join(f"{address}\t{hostname}\n" for address in sorted(set(addresses.values())))
    try:
        host = _HOST_RESOLV_CONF.read_text()
    except FileNotFoundError:
        host = ""
    files = {
        "hosts": _HOSTS + own,
        "hostname": f"{hostname}\n",
        "resolv.conf": host if netns is None else reachable(host),
    }
    for name, text in files.items():
        atomic_write(bundle / name, text.encode(), mode=0o644, durable=False)
    if netns is None:
        return
    spec = json.loads((bundle / "config.json").read_text())
    others = [item for item in spec["linux"]["namespaces"] if item["type"] != "network"]
    spec["linux"]["namespaces"] = [*others, {"type": "network", "path": str(netns)}]
    atomic_write(bundle / "config.json", json.dumps(spec).encode(), durable=False)


def reachable(text: str) -> str:
    """A resolv.conf(5) without name servers on loopback: in another network namespace they are somebody else."""
    return "".join(line for line in text.splitlines(keepends=True) if not _is_loopback_server(line))


def _is_loopback_server(line: str) -> bool:
    words = line.split()
    if len(words) < 2 or words[0] != "nameserver":
        return False
    try:
        return ip_address(words[1].partition("%")[0]).is_loopback
    except ValueError:
        return False
