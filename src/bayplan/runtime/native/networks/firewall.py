"""One nftables table of our own; other people's rules are never touched.

Publishing a port is an element of a map, so that the cost stays flat with thousands of them. Networks are isolated from
each other, internal ones have no way out or in, and no packet from outside reaches a container but through a published
port (CVE-2025-54388: not even when it is routed straight to the container's address), nor through one published on
loopback (CVE-2020-8558: sent to 127.0.0.1 over the wire it would be led on before the kernel refuses it). A port that
several containers share is a chain of its own, changed in one transaction as they come and go. A gateway answers for
names to its own network only: the name server itself would tell a stranger. A published port 53 never takes a gateway's
place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from sqlite3 import Row
from typing import Any

from bayplan.system import nftables

_PROTOCOLS = {"6": "tcp", "17": "udp", "132": "sctp"}
_BRIDGE_FILTER = Path("/proc/sys/net/bridge/bridge-nf-call-ip6tables")
ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - spellings in declarations, not bound here
_CHAIN = "replicas_"
Key = tuple[str, int, str]
"""A port of the host: address, number, protocol."""


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Held:
    """What the kernel has of a table: whether every rule is there, and the elements of each set and map.

    ``members`` are the places (address and port) that a chain of a balanced port leads to.
    """

    whole: bool
    sets: Mapping[str, set[str]]
    members: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def has_network(self, bridge: str, subnet: str, gateway: str, *, internal: bool, subnet6: str = "") -> bool:
        """Whether every rule is there, and the network's elements in every set."""
        wanted = {"bridges": bridge, "pairs": f"{bridge} . {bridge}"}
        wanted |= {"gateways": gateway, "resolvers": f"{bridge} . {gateway}"}
        if not internal:
            wanted |= {"outgoing": bridge, "subnets": subnet} | ({"subnets6": subnet6} if subnet6 else {})
        if subnet6 and ("::1" in self.sets.get("unled6", ())) is loopback_v6_works():
            return False
        return self.whole and all(element in self.sets.get(name, ()) for name, element in wanted.items())

    def is_open(self, port: Published) -> bool:
        """Whether the port leads to a container."""
        return _key(port) in self.sets.get(_map(port), ()) or _key(port) in self.sets.get(_shared(port), ())

    def is_balanced(self, key: Key) -> bool:
        """Whether the port is led on by a chain of its own."""
        port = Published(*key, "", 0)
        return _key(port) in self.sets.get(_shared(port), ())

    def leads_to(self, ports: Sequence[Published]) -> bool:
        """Whether a port that several containers share, two or more, leads to exactly these."""
        first, wanted = ports[0], frozenset(f"{item.address} . {item.target}" for item in ports)
        linked = _key(first) in self.sets.get(_shared(first), ()) and _key(first) not in self.sets.get(_map(first), ())
        return linked and self.members.get(_chain(first.key)) == wanted


class Firewall:
    """The table of one core."""

    def __init__(self, table: str, prefix: str) -> None:
        self.table, self.prefix = table, prefix

    def ensure(self) -> None:
        """Make table, sets, maps and rules in one transaction; elements that are there stay."""
        nftables.run(_BASE.format(t=self.table))

    def add_network(self, bridge: str, subnet: str, gateway: str, *, internal: bool, subnet6: str = "") -> None:
        """Let a bridge's containers talk to each other, ask their gateway for names, and out unless it is internal."""
        commands = [
            f"add element inet {self.table} bridges {{ {bridge} }}",
            # With bridge-nf-call-iptables even frames within one bridge pass the forward chain.
            f"add element inet {self.table} pairs {{ {bridge} . {bridge} }}",
            f"add element inet {self.table} gateways {{ {gateway} }}",
            f"add element inet {self.table} resolvers {{ {bridge} . {gateway} }}",
        ]
        if not internal:
            commands.append(f"add element inet {self.table} outgoing {{ {bridge} }}")
            commands.append(f"add element inet {self.table} subnets {{ {subnet} }}")
            if subnet6:
                commands.append(f"add element inet {self.table} subnets6 {{ {subnet6} }}")
        if subnet6:
            commands.append(f"flush set inet {self.table} unled6")
            commands += [] if loopback_v6_works() else [f"add element inet {self.table} unled6 {{ ::1 }}"]
        self._run(commands)

    def remove_network(self, bridge: str, subnet: str, gateway: str, subnet6: str = "") -> None:
        """Forget a bridge; absent is no error."""
        wanted = (
            *(("bridges", bridge), ("pairs", f"{bridge} . {bridge}"), ("outgoing", bridge), ("subnets", subnet)),
            *(("gateways", gateway), ("resolvers", f"{bridge} . {gateway}")),
            *((("subnets6", subnet6),) if subnet6 else ()),
        )
        # `destroy` needs a newer kernel and nft, so only what is there is deleted.
        present = [(name, item) for name, item in wanted if item in self.elements(name)]
        self._run(f"delete element inet {self.table} {name} {{ {item} }}" for name, item in present)

    def publish(self, ports: Iterable[Published]) -> None:
        """Open ports in one transaction; one that is open already stays."""
        self._run(
            f"add element inet {self.table} {_map(port)} {{ {_key(port)} : {port.address} . {port.target} }}"
            for port in ports
        )

    def withdraw(self, ports: Iterable[Published]) -> None:
        """Close ports; one that is closed is no error."""
        ports = tuple(ports)
        if not ports:
            return
        held = {name: self.published_keys(name) for name in {_map(port) for port in ports}}
        gone = [port for port in ports if _key(port) in held[_map(port)]]
        self._run(f"delete element inet {self.table} {_map(port)} {{ {_key(port)} }}" for port in gone)

    def route(self, key: Key, members: Sequence[Published]) -> None:
        """Lead a port of the host to these places in turn, new connections only, whatever it led to before.

        One transaction: at no moment does it lead nowhere. None closes it.
        """
        port, chain = Published(*key, "", 0), _chain(key)
        held = self.holds()
        table, commands = f"inet {self.table}", list[str]()
        for name in (_map(port), _shared(port)):
            if _key(port) in held.sets.get(name, ()):
                commands.append(f"delete element {table} {name} {{ {_key(port)} }}")
        if len(members) > 1:
            places = ", ".join(f"{at} : {item.address} . {item.target}" for at, item in enumerate(members))
            commands += [
                f"add chain {table} {chain}",
                f"flush chain {table} {chain}",
                f"add rule {table} {chain} meta l4proto {port.protocol}"
                f" dnat {'ip6' if port.six else 'ip'} to numgen inc mod {len(members)} map {{ {places} }}",
                f"add element {table} {_shared(port)} {{ {_key(port)} : jump {chain} }}",
            ]
        elif chain in held.members:
            commands += [f"flush chain {table} {chain}", f"delete chain {table} {chain}"]
        if len(members) == 1:
            only = members[0]
            commands.append(f"add element {table} {_map(port)} {{ {_key(port)} : {only.address} . {only.target} }}")
        self._run(commands)

    def holds(self) -> Held:
        """What of it the kernel has now."""
        rules, sets, members = 0, dict[str, set[str]](), dict[str, frozenset[str]]()
        for item in nftables.listing(f"table inet {self.table}"):
            if "chain" in item and item["chain"]["name"].startswith(_CHAIN):
                members.setdefault(item["chain"]["name"], frozenset())
            if "rule" in item and item["rule"]["chain"].startswith(_CHAIN):
                members[item["rule"]["chain"]] = _members(item["rule"])
                continue
            rules += "rule" in item
            if "set" in item:
                sets[item["set"]["name"]] = {_spell(element) for element in item["set"].get("elem", ())}
            if "map" in item:
                sets[item["map"]["name"]] = {_spell_key(key) for key, _ in item["map"].get("elem", ())}
        return Held(rules == _RULES, sets, members)

    def elements(self, name: str) -> set[str]:
        """What a set holds, spelled as nft does."""
        found: set[str] = set()
        for item in nftables.listing(f"set inet {self.table} {name}"):
            for element in item.get("set", {}).get("elem", ()):
                found.add(_spell(element))
        return found

    def published_keys(self, name: str) -> set[str]:
        """The keys of a map, spelled as nft does."""
        found: set[str] = set()
        for item in nftables.listing(f"map inet {self.table} {name}"):
            for key, _ in item.get("map", {}).get("elem", ()):
                found.add(_spell_key(key))
        return found

    def remove(self) -> None:
        """Remove the whole table; absent is no error."""
        nftables.run(f"add table inet {self.table}\ndelete table inet {self.table}")

    def _run(self, commands: Iterable[str]) -> None:
        text = "\n".join(commands)
        if text:
            nftables.run(text)


def loopback_v6_works() -> bool:
    """Whether a port can be published on ::1.

    With bridge-nf-call-ip6tables the answer is turned back to ::1 while it is still a frame of the bridge, and then
    dropped as a packet to ::1 that came over a wire.
    """
    return not _BRIDGE_FILTER.exists() or _BRIDGE_FILTER.read_text().strip() == "0"


def _map(port: Published) -> str:
    return ("ports_any" if port.host_ip in ANY_ADDRESS else "ports_address") + "6" * port.six


def _shared(port: Published) -> str:
    return ("shared_any" if port.host_ip in ANY_ADDRESS else "shared_address") + "6" * port.six


def _chain(key: Key) -> str:
    """Name of the chain that chooses among the containers of a port."""
    return _CHAIN + "_".join(str(part).replace(".", "_").replace(":", "_") for part in (key[2], key[1], key[0]))


def _members(rule: Any) -> frozenset[str]:
    """The places of a chain's rule, spelled as in maps; none of one that is not ours."""
    for part in rule.get("expr", ()):
        chosen = part.get("dnat", {}).get("addr") if isinstance(part, dict) else None
        if isinstance(chosen, dict) and "map" in chosen:
            return frozenset(_spell(place) for _, place in chosen["map"]["data"]["set"])
    return frozenset()


def _key(port: Published) -> str:
    address = "" if port.host_ip in ANY_ADDRESS else f"{port.host_ip} . "
    return f"{address}{port.protocol} . {port.published}"


def _spell_key(element: Any) -> str:
    # A minimal system has no protocols(5), and nft then shows numbers instead of names.
    return " . ".join(_PROTOCOLS.get(part, part) for part in _spell(element).split(" . "))


def _spell(element: Any) -> str:
    if isinstance(element, dict) and "concat" in element:
        return " . ".join(str(part) for part in element["concat"])
    if isinstance(element, dict) and "prefix" in element:
        return f"{element['prefix']['addr']}/{element['prefix']['len']}"
    if isinstance(element, dict) and "elem" in element:
        return _spell(element["elem"]["val"])
    return str(element)


_BASE = """
add table inet {t}
add set inet {t} bridges {{ type ifname; }}
add set inet {t} pairs {{ type ifname . ifname; }}
add set inet {t} outgoing {{ type ifname; }}
add set inet {t} subnets {{ type ipv4_addr; flags interval; }}
add set inet {t} gateways {{ type ipv4_addr; }}
add set inet {t} resolvers {{ type ifname . ipv4_addr; }}
add map inet {t} ports_any {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}
add map inet {t} ports_address {{ type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }}
add map inet {t} shared_any {{ type inet_proto . inet_service : verdict; }}
add map inet {t} shared_address {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
add set inet {t} subnets6 {{ type ipv6_addr; flags interval; }}
add set inet {t} unled6 {{ type ipv6_addr; }}
add map inet {t} ports_any6 {{ type inet_proto . inet_service : ipv6_addr . inet_service; }}
add map inet {t} ports_address6 {{ type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }}
add map inet {t} shared_any6 {{ type inet_proto . inet_service : verdict; }}
add map inet {t} shared_address6 {{ type ipv6_addr . inet_proto . inet_service : verdict; }}
add chain inet {t} prerouting {{ type nat hook prerouting priority dstnat; policy accept; }}
add chain inet {t} output {{ type nat hook output priority -100; policy accept; }}
add chain inet {t} publish
add chain inet {t} input {{ type filter hook input priority filter; policy accept; }}
add chain inet {t} postrouting {{ type nat hook postrouting priority srcnat; policy accept; }}
add chain inet {t} forward {{ type filter hook forward priority filter; policy accept; }}
flush chain inet {t} prerouting
flush chain inet {t} output
flush chain inet {t} publish
flush chain inet {t} input
flush chain inet {t} postrouting
flush chain inet {t} forward
add rule inet {t} prerouting ip daddr @gateways meta l4proto {{ tcp, udp }} th dport 53 accept
add rule inet {t} output ip daddr @gateways meta l4proto {{ tcp, udp }} th dport 53 accept
add rule inet {t} prerouting iifname != "lo" ip daddr 127.0.0.0/8 accept
add rule inet {t} prerouting fib daddr type local jump publish
add rule inet {t} output fib daddr type local jump publish
add rule inet {t} publish dnat ip to ip daddr . meta l4proto . th dport map @ports_address
add rule inet {t} publish ip daddr . meta l4proto . th dport vmap @shared_address
add rule inet {t} publish dnat ip to meta l4proto . th dport map @ports_any
add rule inet {t} publish meta nfproto ipv4 meta l4proto . th dport vmap @shared_any
add rule inet {t} publish ip6 daddr @unled6 return
add rule inet {t} publish dnat ip6 to ip6 daddr . meta l4proto . th dport map @ports_address6
add rule inet {t} publish ip6 daddr . meta l4proto . th dport vmap @shared_address6
add rule inet {t} publish dnat ip6 to meta l4proto . th dport map @ports_any6
add rule inet {t} publish meta nfproto ipv6 meta l4proto . th dport vmap @shared_any6
add rule inet {t} postrouting ip saddr @subnets oifname != @bridges masquerade
add rule inet {t} postrouting ip saddr 127.0.0.0/8 oifname @bridges masquerade
add rule inet {t} postrouting ct status dnat ip saddr @subnets ip daddr @subnets masquerade
add rule inet {t} postrouting ip6 saddr @subnets6 oifname != @bridges masquerade
add rule inet {t} postrouting ip6 saddr ::1 oifname @bridges masquerade
add rule inet {t} postrouting ct status dnat ip6 saddr @subnets6 ip6 daddr @subnets6 masquerade
add rule inet {t} input iifname @bridges ip daddr @gateways meta l4proto {{ tcp, udp }} th dport 53 \
iifname . ip daddr != @resolvers drop
add rule inet {t} forward ct state established,related accept
add rule inet {t} forward ct status dnat oifname @outgoing accept
add rule inet {t} forward iifname . oifname @pairs accept
add rule inet {t} forward iifname @bridges oifname @bridges drop
add rule inet {t} forward iifname @outgoing accept
add rule inet {t} forward iifname @bridges drop
add rule inet {t} forward oifname @bridges drop
"""
_RULES = _BASE.count("\nadd rule ")
