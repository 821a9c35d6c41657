"""Published ports and what the kernel has of our table, as values; how both are spelled in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from sqlite3 import Row
from typing import TYPE_CHECKING, Any

from bayplan.values import frozen

if TYPE_CHECKING:
    from bayplan.models import Network
    from bayplan.models.network import AddressRange

_PROTOCOLS = {"6": "tcp", "17": "udp", "132": "sctp"}
_BRIDGE_FILTER = Path("/proc/sys/net/bridge/bridge-nf-call-ip6tables")
ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - spellings in declarations, not bound here
SETS = ("bridges", "pairs", "outgoing", "resolvers", "resolvers6", "subnets", "subnets6", "masked", "masked6")
CHAIN = "replicas_"
Key = tuple[str, int, str]
"""A port of the host: address, number, protocol."""


@frozen
class Published:
    """A port of the host that leads to a container's."""

    host_ip: str
    published: int
    protocol: str
    address: str
    target: int

    def __str__(self) -> str:
        address = f"[{self.host_ip}]" if self.six else self.host_ip
        return f"{address}:{self.published}->{self.target}/{self.protocol}"

    @classmethod
    def of(cls, row: Row) -> Published:
        """As it is recorded."""
        return cls(row["host_ip"], row["published"], row["protocol"], row["address"], row["target"])

    @property
    def six(self) -> bool:
        """Whether it is IPv6."""
        return ":" in self.host_ip

    @property
    def key(self) -> Key:
        """The port of the host alone."""
        return self.host_ip, self.published, self.protocol


@frozen
class Held:
    """What the kernel has of a table: whether every rule is there, and the elements of each set and map.

    ``leads`` has for each map the place (address and port) of each key, ``members`` the places that a chain of a
    balanced port leads to. ``more``: there are other rules in our chains besides.
    """

    whole: bool
    sets: Mapping[str, set[str]]
    members: Mapping[str, frozenset[str]] = field(default_factory=dict)
    leads: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    more: bool = False

    def has_network(self, bridge: str, ranges: Sequence[AddressRange], declared: Network) -> bool:
        """Whether every rule is there, and the network's elements in every set."""
        six = any(one.subnet.version == 6 for one in ranges)
        if six and ("::1" in self.sets.get("unled6", ())) is loopback_v6_works():
            return False
        return self.whole and all(item in self.sets.get(name, ()) for name, item in elements(bridge, ranges, declared))

    def is_open(self, port: Published) -> bool:
        """Whether the port leads to its container, alone or with others."""
        led = self.leads.get(map_of(port), {}).get(key_of(port))
        return led == f"{port.address} . {port.target}" or key_of(port) in self.sets.get(shared_of(port), ())

    def leads_elsewhere(self, port: Published) -> bool:
        """Whether the port leads to another place."""
        return not self.is_open(port) and key_of(port) in self.leads.get(map_of(port), {})

    def is_balanced(self, key: Key) -> bool:
        """Whether the port is led on by a chain of its own."""
        port = Published(*key, "", 0)
        return key_of(port) in self.sets.get(shared_of(port), ())

    def leads_to(self, ports: Sequence[Published]) -> bool:
        """Whether a port that several containers share, two or more, leads to exactly these."""
        first, wanted = ports[0], frozenset(f"{item.address} . {item.target}" for item in ports)
        linked = key_of(first) in self.sets.get(shared_of(first), ()) and key_of(first) not in self.sets.get(
            map_of(first), ()
        )
        return linked and self.members.get(chain_of(first.key)) == wanted


def elements(bridge: str, ranges: Sequence[AddressRange], declared: Network) -> list[tuple[str, str]]:
    """The elements of a network, each with the set it is in."""
    found = [("bridges", bridge)]
    if declared.icc:
        # With bridge-nf-call-iptables even frames within one bridge pass the forward chain.
        found.append(("pairs", f"{bridge} . {bridge}"))
    if not declared.internal:
        found.append(("outgoing", bridge))
    for one in ranges:
        six = "6" * (one.subnet.version == 6)
        if not six or not declared.enable_ipv4:
            # Names are answered at the IPv4 gateway where there is one.
            found += [(f"gateways{six}", str(one.way)), (f"resolvers{six}", f"{bridge} . {one.way}")]
        if not declared.internal:
            found.append((f"subnets{six}", str(one.subnet)))
        if not declared.internal and declared.masquerade:
            found.append((f"masked{six}", str(one.subnet)))
    return found


def loopback_v6_works() -> bool:
    """Whether a port can be published on ::1.

    With bridge-nf-call-ip6tables the answer is turned back to ::1 while it is still a frame of the bridge, and then
    dropped as a packet to ::1 that came over a wire.
    """
    return not _BRIDGE_FILTER.exists() or _BRIDGE_FILTER.read_text().strip() == "0"


def map_of(port: Published) -> str:
    """Name of the map in which a port with one container is."""
    return ("ports_any" if port.host_ip in ANY_ADDRESS else "ports_address") + "6" * port.six


def shared_of(port: Published) -> str:
    """Name of the map in which a port with several containers is."""
    return ("shared_any" if port.host_ip in ANY_ADDRESS else "shared_address") + "6" * port.six


def chain_of(key: Key) -> str:
    """Name of the chain that chooses among the containers of a port."""
    return CHAIN + "_".join(str(part).replace(".", "_").replace(":", "_") for part in (key[2], key[1], key[0]))


def members_of(rule: Any) -> frozenset[str]:
    """The places of a chain's rule, spelled as in maps; none of one that is not ours."""
    for part in rule.get("expr", ()):
        chosen = part.get("dnat", {}).get("addr") if isinstance(part, dict) else None
        if isinstance(chosen, dict) and "map" in chosen:
            return frozenset(spell(place) for _, place in chosen["map"]["data"]["set"])
    return frozenset()


def key_of(port: Published) -> str:
    """A port as the key of its map."""
    address = "" if port.host_ip in ANY_ADDRESS else f"{port.host_ip} . "
    return f"{address}{port.protocol} . {port.published}"


def spell_key(element: Any) -> str:
    """The key of a map of ports, likewise."""
    # A minimal system has no protocols(5), and nft then shows numbers instead of names.
    return " . ".join(_PROTOCOLS.get(part, part) for part in spell(element).split(" . "))


def spell(element: Any) -> str:
    """An element of libnftables-json(5) in the language of nft(8)."""
    if isinstance(element, dict) and "concat" in element:
        return " . ".join(str(part) for part in element["concat"])
    if isinstance(element, dict) and "prefix" in element:
        return f"{element['prefix']['addr']}/{element['prefix']['len']}"
    if isinstance(element, dict) and "elem" in element:
        return spell(element["elem"]["val"])
    return str(element)
