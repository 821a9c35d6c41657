"""Links of the host that macvlan and ipvlan networks use: whether one can be used, and VLAN links made for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from sqlite3 import Row

from bayplan.errors import ConflictError, NotFoundError, UnsupportedError
from bayplan.models import Network
from bayplan.models.network import MODES
from bayplan.runtime.native.networks.links import Links
from bayplan.runtime.native.networks.places import recorded

_LINKS = Path("/sys/class/net")
_VLANS = range(1, 4095)  # IEEE 802.1Q: 0 and 4095 are reserved


def vlan_of(parent: str) -> tuple[str, int] | None:
    """The link and the number that a VLAN link's name tells (``eth0.10``); None for another name."""
    below, _, number = parent.rpartition(".")
    return (below, int(number)) if below and number.isdecimal() and int(number) in _VLANS else None


def exists(name: str) -> bool:
    """Whether the host has the link."""
    return (_LINKS / name).exists()


def check(network: Network, links: Links, rows: Sequence[Row]) -> None:
    """Refuse what the kernel would refuse. ``rows`` are the networks that are recorded.

    Raises NotFoundError for a parent that is not there, UnsupportedError for a kernel without the driver, ConflictError
    naming the network or the link that has the parent.
    """
    where, parent = str(network.id), network.parent or ""
    vlan = None if exists(parent) else vlan_of(parent)
    below = vlan[0] if vlan else parent
    if not exists(below):
        raise NotFoundError(f"parent {parent} does not exist on this host", where=where, hint="see `ip link`")
    if below == "lo":
        raise ConflictError("the loopback can be no parent", where=where, hint="name a link to the outside")
    for kind in (network.driver, *(["vlan"] if vlan else [])):
        if not links.knows(kind):
            hint = f"load its module ({'8021q' if kind == 'vlan' else kind}), or use another driver"
            raise UnsupportedError(f"the kernel has no {kind} links", where=where, hint=hint)
    if (_LINKS / parent / "master").exists():
        holder = (_LINKS / parent / "master").readlink().name
        raise ConflictError(f"parent {parent} belongs to {holder}", where=where, hint="use that one as parent")
    for row in rows:
        other = recorded(row["declared"])
        if other.bridged or other.parent != parent or other.name == network.name:
            continue
        same = other.driver == network.driver and (network.driver == "macvlan" or _mode(other) == _mode(network))
        if not same or "passthru" in (_mode(other), _mode(network)):
            raise ConflictError(
                f"parent {parent} is used by network {other.name} ({other.driver}, mode {_mode(other)})",
                where=where,
                hint="a parent has one driver, and one mode of ipvlan; passthru shares it with nobody",
            )


def is_ours(network: Network, rows: Sequence[Row]) -> bool:
    """Whether the parent is a VLAN link that this core makes, or has made for another network."""
    parent = network.parent or ""
    if any(row["parent_made"] and recorded(row["declared"]).parent == parent for row in rows):
        return True
    return vlan_of(parent) is not None and not exists(parent)


def ensure(network: Network, links: Links) -> None:
    """Make the VLAN link, or switch it on."""
    vlan = vlan_of(network.parent or "")
    if vlan:
        links.ensure_vlan(network.parent or "", *vlan)


def remove(network: Network, links: Links, rows: Sequence[Row]) -> None:
    """Remove the VLAN link when no other network uses it."""
    others = (recorded(row["declared"]) for row in rows)
    if not any(other.parent == network.parent for other in others if other.name != network.name):
        links.remove([network.parent or ""])


def findings(network: Network, *, made: bool) -> Iterator[tuple[str, bool]]:
    """What is wrong with the parent, and whether it can be mended here."""
    parent = network.parent or ""
    if not exists(parent):
        below = vlan_of(parent)
        yield f"parent {parent} is missing", bool(made and below and exists(below[0]))
        return
    if not int((_LINKS / parent / "flags").read_text(), 16) & 1:  # IFF_UP, netdevice(7)
        yield f"parent {parent} is down", made


def _mode(network: Network) -> str:
    return network.mode or MODES[network.driver][0]
