"""No container sends under another's name: frames with a MAC, IP or ARP sender that is not its own are dropped.

One table of the bridge family beside ours of the inet family, changed in one transaction: frames between containers of
a bridge pass no other hook. Links of others, whatever they are called, are left alone. Dropped too are router
advertisements and redirects, and what is neither IP nor ARP (a VLAN tag would hide the rest). Each link is given all
addresses of its container: the kernel may answer by any of its links.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import field
from ipaddress import IPv4Address, IPv6Address
from sqlite3 import Row
from typing import TypeVar

from bayplan.errors import RuntimeFailureError
from bayplan.runtime.native.networks import members
from bayplan.runtime.native.networks.held import spell
from bayplan.runtime.native.networks.rules import MARK, marked
from bayplan.system import nftables
from bayplan.values import frozen

_E = TypeVar("_E", str, bytes)
_NONE: frozenset[str] = frozenset()
_LINK_LOCAL = IPv6Address("fe80::")


@frozen
class Sender:
    """One link of a container on the host's side, and what it may call itself; ``free``: anything."""

    link: str
    mac: str
    addresses: tuple[str, ...]
    free: bool = False

    def elements(self) -> dict[str, set[str]]:
        """What of it is in which set."""
        if self.free:
            return {}
        four, six = self._by_family()
        return {
            "links": {self.link},
            "macs": {f"{self.link} . {self.mac}"},
            "addresses": {f"{self.link} . {one}" for one in four},
            "addresses6": {f"{self.link} . {one}" for one in six},
            "targets6": {f"{self.link} . {int(one):#x}" for one in six},
        }

    def keys(self) -> dict[str, set[bytes]]:
        """The same as the kernel has them."""
        if self.free:
            return {}
        four, six = self._by_family()
        sixes = {members.key(self.link, one.packed) for one in six}
        return {
            "links": {members.key(self.link)},
            "macs": {members.key(self.link, bytes.fromhex(self.mac.replace(":", "")))},
            "addresses": {members.key(self.link, one.packed) for one in four},
            "addresses6": sixes,
            "targets6": sixes,
        }

    def _by_family(self) -> tuple[set[IPv4Address], set[IPv6Address]]:
        """With the address that the kernel gives a link that has some of IPv6."""
        six = {IPv6Address(one) for one in self.addresses if ":" in one}
        six |= {_link_local(self.mac)} if six else set()
        return {IPv4Address(one) for one in self.addresses if ":" not in one}, six


@frozen
class Guarded:
    """What the kernel has of the table."""

    whole: bool
    sets: Mapping[str, Set[str]] = field(default_factory=dict)
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """How many elements of each set are of which link."""

    def knows(self, sender: Sender) -> bool:
        """Whether all of the link's elements are there."""
        return all(self.sets.get(name, _NONE) >= wanted for name, wanted in sender.elements().items())

    def lets_forge(self, sender: Sender) -> bool:
        """Whether there are more than those that are the link's, which are known to be there."""
        return any(self.counts[name][sender.link] > len(wanted) for name, wanted in sender.elements().items())


def senders(rows: Iterable[Row]) -> list[Sender]:
    """Those of recorded endpoints, each with ``container_id``, ``link``, ``mac``, addresses, and ``free``."""
    known = list(rows)
    every: dict[str, list[str]] = {}
    for row in known:
        own = every.setdefault(row["container_id"], [])
        own += [one for one in (row["address"], row["address6"]) if one]
        own += json.loads(row["asked"])["link_local_ips"] if row["asked"] else []
    return [
        Sender(row["link"], row["mac"], tuple(every[row["container_id"]]), bool(row["free"]))
        for row in known
        if row["guarded"]
    ]


class Guard:
    """The table of one core."""

    def __init__(self, table: str) -> None:
        self.table = table
        self.refusal = ""
        """Why this kernel cannot have it; empty when it can."""

    def ensure(self, known: Iterable[Sender]) -> None:
        """Make table, sets and rules in one transaction, with the elements of exactly the links there are.

        A kernel without nftables for bridges is left without; ``refusal`` then says so.
        """
        text = marked(_BASE.format(t=f"bridge {self.table}"))
        try:
            nftables.run("\n".join([text, *self._commands("add", _elements(known))]))
        except RuntimeFailureError:
            if self._is_possible():
                raise

    def admit(self, known: Collection[Sender]) -> None:
        """Let links send as themselves. Before they are up."""
        if not self.refusal and (keys := _merged(sender.keys() for sender in known)):
            members.add(self.table, keys)

    def forget(self, known: Iterable[Sender], staying: Iterable[Sender] = ()) -> None:
        """Take links out, but for what others have too that are ``staying``; what is not there is no error."""
        if self.refusal:
            return
        kept = _elements(staying)
        gone = {name: found - kept.get(name, set()) for name, found in _elements(known).items()}
        try:
            self._run("delete", gone)
        except RuntimeFailureError:
            # A part of it was never there, or somebody took it: only what is there can be deleted.
            there = self.holds().sets
            self._run("delete", {name: found.intersection(there.get(name, ())) for name, found in gone.items()})

    def holds(self) -> Guarded:
        """What of it the kernel has now."""
        own, others, sets = 0, 0, dict[str, set[str]]()
        for item in nftables.listing(f"table bridge {self.table}"):
            if "rule" in item:
                own += (is_ours := item["rule"].get("comment") == MARK)
                others += not is_ours
            if "set" in item:
                sets[item["set"]["name"]] = {spell(element) for element in item["set"].get("elem", ())}
        whole = own == _RULES and not others
        counts = {name: Counter(item.split(" . ", 1)[0] for item in found) for name, found in sets.items()}
        return Guarded(whole or (not own and not others and not self._is_possible()), sets, counts)

    def remove(self) -> None:
        """Remove the whole table; absent is no error."""
        if not self.refusal:
            nftables.run(f"add table bridge {self.table}\ndelete table bridge {self.table}")

    def _is_possible(self) -> bool:
        if not nftables.accepts(_BASE.format(t=f"bridge {self.table}")):
            self.refusal = "the kernel has no nftables for bridges: containers can forge addresses"
        return not self.refusal

    def _run(self, verb: str, elements: Mapping[str, Collection[str]]) -> None:
        if commands := self._commands(verb, elements):
            nftables.run("\n".join(commands))

    def _commands(self, verb: str, elements: Mapping[str, Collection[str]]) -> list[str]:
        return [
            f"{verb} element bridge {self.table} {name} {{ {', '.join(sorted(found))} }}"
            for name, found in elements.items()
            if found
        ]


def _elements(known: Iterable[Sender]) -> dict[str, set[str]]:
    return _merged(sender.elements() for sender in known)


def _merged(several: Iterable[Mapping[str, set[_E]]]) -> dict[str, set[_E]]:
    found: dict[str, set[_E]] = {}
    for one in several:
        for name, elements in one.items():
            found.setdefault(name, set()).update(elements)
    return {name: elements for name, elements in found.items() if elements}


def _link_local(mac: str) -> IPv6Address:
    """The address that the kernel gives a link by itself (RFC 4291, appendix A)."""
    packed = bytes.fromhex(mac.replace(":", ""))
    packed = bytes([packed[0] ^ 2]) + packed[1:3] + b"\xff\xfe" + packed[3:]
    return IPv6Address(int(_LINK_LOCAL) + int.from_bytes(packed, "big"))


_BASE = """
add table {t}
add set {t} links {{ type ifname; }}
add set {t} macs {{ type ifname . ether_addr; }}
add set {t} addresses {{ type ifname . ipv4_addr; }}
add set {t} addresses6 {{ type ifname . ipv6_addr; }}
add set {t} targets6 {{ typeof iifname . @th,64,128; }}
add chain {t} own {{ type filter hook prerouting priority -300; policy accept; }}
flush chain {t} own
flush set {t} links
flush set {t} macs
flush set {t} addresses
flush set {t} addresses6
flush set {t} targets6
add rule {t} own iifname != @links accept
add rule {t} own iifname . ether saddr != @macs drop
add rule {t} own ether type arp iifname . arp saddr ether != @macs drop
add rule {t} own ether type arp arp saddr ip != 0.0.0.0 iifname . arp saddr ip != @addresses drop
add rule {t} own ether type arp accept
add rule {t} own ether type ip iifname . ip saddr != @addresses drop
add rule {t} own ether type ip accept
add rule {t} own ether type != ip6 drop
add rule {t} own icmpv6 type {{ nd-router-advert, nd-redirect }} drop
add rule {t} own ip6 saddr != :: iifname . ip6 saddr != @addresses6 drop
add rule {t} own icmpv6 type nd-neighbor-advert iifname . @th,64,128 != @targets6 drop
"""
_RULES = _BASE.count("\nadd rule ")
