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

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from bayplan.errors import RuntimeFailureError
from bayplan.runtime.native.networks.held import (
    CHAIN,
    Held,
    Key,
    Published,
    chain_of,
    elements,
    key_of,
    loopback_v6_works,
    map_of,
    members_of,
    shared_of,
    spell,
    spell_key,
)
from bayplan.runtime.native.networks.rules import BASE, CHAINS, MARK, RULES, marked
from bayplan.system import nftables

if TYPE_CHECKING:
    from bayplan.models import Network
    from bayplan.models.network import AddressRange


class Firewall:
    """The table of one core."""

    def __init__(self, table: str, prefix: str) -> None:
        self.table, self.prefix = table, prefix

    def ensure(self) -> None:
        """Make table, sets, maps and rules in one transaction; elements that are there stay."""
        nftables.run(marked(BASE.format(t=self.table)))

    def add_network(self, bridge: str, ranges: Sequence[AddressRange], declared: Network) -> None:
        """Let a bridge's containers talk to each other, ask their gateway for names, and out unless it is internal."""
        table = f"inet {self.table}"
        commands = [
            f"add element {table} {name} {{ {element} }}" for name, element in elements(bridge, ranges, declared)
        ]
        if any(one.subnet.version == 6 for one in ranges):
            commands.append(f"flush set {table} unled6")
            commands += [] if loopback_v6_works() else [f"add element {table} unled6 {{ ::1 }}"]
        self._run(commands)

    def remove_network(self, bridge: str, ranges: Sequence[AddressRange], declared: Network) -> None:
        """Forget a bridge; absent is no error."""
        # `destroy` needs a newer kernel and nft, so only what is there is deleted.
        wanted = elements(bridge, ranges, declared)
        held = {name: self.elements(name) for name in dict.fromkeys(name for name, _ in wanted)}
        present = [(name, item) for name, item in wanted if item in held[name]]
        self._run(f"delete element inet {self.table} {name} {{ {item} }}" for name, item in present)

    def publish(self, ports: Iterable[Published]) -> None:
        """Open ports in one transaction; one that is open already stays, one that leads elsewhere is led back."""
        ports = tuple(ports)
        try:
            self._run(
                f"add element inet {self.table} {map_of(port)} {{ {key_of(port)} : {port.address} . {port.target} }}"
                for port in ports
            )
        except RuntimeFailureError:  # the kernel takes no second place for a key: somebody has put one there
            self.route({port.key: [port] for port in ports})

    def forget(self, strays: Iterable[tuple[str, str]]) -> None:
        """Take out elements that are there and not ours, each with its set or map."""
        self._run(f"delete element inet {self.table} {name} {{ {item} }}" for name, item in strays)

    def withdraw(self, ports: Iterable[Published]) -> None:
        """Close ports; one that is closed is no error."""
        ports = tuple(ports)
        if not ports:
            return
        held = {name: self.published_keys(name) for name in {map_of(port) for port in ports}}
        gone = [port for port in ports if key_of(port) in held[map_of(port)]]
        self._run(f"delete element inet {self.table} {map_of(port)} {{ {key_of(port)} }}" for port in gone)

    def route(self, wanted: Mapping[Key, Sequence[Published]]) -> None:
        """Lead ports of the host to these places in turn, new connections only, whatever they led to before.

        One transaction for all: at no moment do they lead nowhere. No place closes one.
        """
        if wanted:
            held = self.holds()
            self._run(line for key, members in wanted.items() for line in self._led(key, members, held))

    def _led(self, key: Key, members: Sequence[Published], held: Held) -> Iterator[str]:
        port, chain, table = Published(*key, "", 0), chain_of(key), f"inet {self.table}"
        for name in (map_of(port), shared_of(port)):
            if key_of(port) in held.sets.get(name, ()):
                yield f"delete element {table} {name} {{ {key_of(port)} }}"
        if len(members) > 1:
            places = ", ".join(f"{at} : {item.address} . {item.target}" for at, item in enumerate(members))
            yield f"add chain {table} {chain}"
            yield f"flush chain {table} {chain}"
            yield (
                f"add rule {table} {chain} meta l4proto {port.protocol}"
                f" dnat {'ip6' if port.six else 'ip'} to numgen inc mod {len(members)} map {{ {places} }}"
            )
            yield f"add element {table} {shared_of(port)} {{ {key_of(port)} : jump {chain} }}"
        elif chain in held.members:
            yield f"flush chain {table} {chain}"
            yield f"delete chain {table} {chain}"
        if len(members) == 1:
            only = members[0]
            yield f"add element {table} {map_of(port)} {{ {key_of(port)} : {only.address} . {only.target} }}"

    def holds(self) -> Held:
        """What of it the kernel has now."""
        own, others, sets, members = 0, 0, dict[str, set[str]](), dict[str, frozenset[str]]()
        leads: dict[str, dict[str, str]] = {}
        for item in nftables.listing(f"table inet {self.table}"):
            if "chain" in item and item["chain"]["name"].startswith(CHAIN):
                members.setdefault(item["chain"]["name"], frozenset())
            if "rule" in item and item["rule"]["chain"].startswith(CHAIN):
                members[item["rule"]["chain"]] = members_of(item["rule"])
                continue
            if "rule" in item and item["rule"]["chain"] in CHAINS:
                own += (is_ours := item["rule"].get("comment") == MARK)
                others += not is_ours
            if "set" in item:
                sets[item["set"]["name"]] = {spell(element) for element in item["set"].get("elem", ())}
            if "map" in item:
                name, ports = item["map"]["name"], item["map"].get("elem", ())
                sets[name] = {spell_key(key) for key, _ in ports}
                if name.startswith("ports_"):
                    leads[name] = {spell_key(key): spell(place) for key, place in ports}
        return Held(own == RULES and not others, sets, members, leads, more=others > 0)

    def elements(self, name: str) -> set[str]:
        """What a set holds, spelled as nft does."""
        found: set[str] = set()
        for item in nftables.listing(f"set inet {self.table} {name}"):
            for element in item.get("set", {}).get("elem", ()):
                found.add(spell(element))
        return found

    def published_keys(self, name: str) -> set[str]:
        """The keys of a map, spelled as nft does."""
        found: set[str] = set()
        for item in nftables.listing(f"map inet {self.table} {name}"):
            for key, _ in item.get("map", {}).get("elem", ()):
                found.add(spell_key(key))
        return found

    def remove(self) -> None:
        """Remove the whole table; absent is no error."""
        nftables.run(f"add table inet {self.table}\ndelete table inet {self.table}")

    def _run(self, commands: Iterable[str]) -> None:
        text = "\n".join(commands)
        if text:
            nftables.run(text)
