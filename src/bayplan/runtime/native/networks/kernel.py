"""One look at the kernel and at what is recorded of it: listed once, not for each container."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from ipaddress import ip_address
from sqlite3 import Row

from bayplan.models import Network
from bayplan.models.network import AddressRange
from bayplan.runtime.native.networks.firewall import Firewall
from bayplan.runtime.native.networks.guard import Guard, Guarded, Sender, senders
from bayplan.runtime.native.networks.held import SETS, Held, Key, Published, elements, key_of, map_of
from bayplan.runtime.native.networks.links import Links
from bayplan.runtime.native.networks.names import Names
from bayplan.runtime.native.networks.netlink import Link
from bayplan.runtime.native.networks.places import SENDERS, ranges_of, recorded
from bayplan.runtime.native.state.database import Database


class Kernel:
    """Links and rules as they were at the first question."""

    def __init__(self, links: Links, firewall: Firewall, guard: Guard, database: Database, names: Names) -> None:
        self._links, self._firewall, self._guard, self._database = links, firewall, guard, database
        self._names = names

    @cached_property
    def links(self) -> dict[str, Link]:
        """Every link of the host by name."""
        return self._links.all()

    @cached_property
    def rules(self) -> Held:
        """Our table."""
        return self._firewall.holds()

    @cached_property
    def guarded(self) -> Guarded:
        """Our table of the bridge family."""
        return self._guard.holds()

    @cached_property
    def stale_names(self) -> frozenset[str]:
        """Containers whose hosts file has lost its peers."""
        return self._names.stale(list(self.places))

    @cached_property
    def senders(self) -> Mapping[str, Sequence[Sender]]:
        """What the links of each container may call themselves, by its id."""
        found = defaultdict(list)
        rows = self._database.query(SENDERS)
        owners = {row["link"]: row["container_id"] for row in rows}
        for sender in () if self._guard.refusal else senders(rows):
            found[owners[sender.link]].append(sender)
        return found

    @cached_property
    def places(self) -> Mapping[str, Sequence[Row]]:
        """Recorded links, networks and bridges of each container by its id."""
        found = defaultdict(list)
        for row in self._database.query(
            "SELECT e.*, n.bridge, n.declared, n.subnet, n.gateway, n.subnet6, n.gateway6"
            " FROM endpoints e JOIN networks n ON n.name = e.network ORDER BY e.position"
        ):
            found[row["container_id"]].append(row)
        return found

    @cached_property
    def ports(self) -> Mapping[str, Sequence[Published]]:
        """Recorded ports of each container by its id."""
        found = defaultdict(list)
        for row in self._database.query("SELECT * FROM ports ORDER BY target, protocol, host_ip, published"):
            found[row["container_id"]].append(Published.of(row))
        return found

    @cached_property
    def shared(self) -> frozenset[Key]:
        """Recorded ports that several containers have."""
        times = Counter(port.key for ports in self.ports.values() for port in ports)
        return frozenset(key for key, count in times.items() if count > 1)

    def is_attached(self, link: str, bridge: str) -> bool:
        """Whether the link is up and on that bridge."""
        found, master = self.links.get(link), self.links.get(bridge)
        return found is not None and master is not None and found.up and found.master == master.index

    def has_network(self, bridge: str, ranges: Sequence[AddressRange], declared: Network) -> bool:
        """See ``Held.has_network``; and whether frames of containers are looked at."""
        return self.guarded.whole and self.rules.has_network(bridge, ranges, declared)

    def strays(self, bridge: str, ranges: Sequence[AddressRange]) -> list[tuple[str, str]]:
        """What somebody has put into our table that leads into or out of a network: set or map, and element."""
        if not self._strays:
            return []
        subnets = {str(one.subnet) for one in ranges}
        return [
            (name, item)
            for name, item, place in self._strays
            if (place and any(ip_address(place.split(" . ")[0]) in one.subnet for one in ranges))
            or bridge in item.split(" . ")
            or item in subnets
        ]

    @cached_property
    def _strays(self) -> list[tuple[str, str, str]]:
        """All of them, a port with the place that it leads to. The kernel is asked before what is recorded of it."""
        rules = self.rules
        rows = [(row, recorded(row["declared"])) for row in self._database.query("SELECT * FROM networks")]
        known = {
            item for row, made in rows if made.bridged for item in elements(row["bridge"], ranges_of(row), made)
        } | {(map_of(port), key_of(port)) for port in map(Published.of, self._database.query("SELECT * FROM ports"))}
        found = [(name, item, "") for name in SETS for item in sorted(rules.sets.get(name, ()))]
        found += [(name, key, place) for name, ports in rules.leads.items() for key, place in ports.items()]
        return [item for item in found if item[:2] not in known]

    def is_open(self, port: Published) -> bool:
        """See ``Held.is_open``."""
        return self.rules.is_open(port)
