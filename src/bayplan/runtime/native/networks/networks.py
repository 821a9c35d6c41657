"""The networks of one core.

Records come first and go last: what a kill left half made is named by its record, and made again or removed from it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network
from sqlite3 import Row
from typing import TypeVar

from bayplan.errors import ConflictError, InUseError
from bayplan.models import Change, Container, Network
from bayplan.runtime.native.networks import demand, foreign, forwarding, parents
from bayplan.runtime.native.networks.addresses import (
    choose_subnet,
    choose_subnet_v6,
    gateway_of,
    gateway_v6_of,
    pool_v6,
)
from bayplan.runtime.native.networks.kernel import Kernel
from bayplan.runtime.native.networks.links import link_name
from bayplan.runtime.native.networks.mending import MendedEndpoints
from bayplan.runtime.native.networks.nameserver import Finding
from bayplan.runtime.native.networks.places import ranges_of, recorded
from bayplan.runtime.native.networks.published import Families
from bayplan.runtime.protocol import Observed, State, Status
from bayplan.runtime.spare import BESIDE

T = TypeVar("T", IPv4Network, IPv6Network)
_GONE = """
    SELECT rowid FROM last_addresses WHERE network NOT IN (SELECT name FROM networks)
    OR (instr(container, ?) AND container NOT IN (SELECT name FROM containers))
    UNION ALL SELECT NULL FROM last_ranges
"""
"""Rows of ``last_addresses``; one without a number tells that there are ranges too."""
BUILD_PREFIX = "bayplan.build."
"""Begin of the names of networks made for the steps of one image build."""


class Networks(MendedEndpoints):
    """All networks of one core. Safe to use from many threads."""

    # -- networks ----------------------------------------------------------------------------------------------

    def check_all(
        self, networks: Sequence[Network], containers: Sequence[Container], leaving: Collection[str] = ()
    ) -> None:
        """Refuse networks that find no range and containers that find no address. Raises ConflictError naming why.

        ``leaving`` are names of containers that are removed first.
        """
        taken = [subnet for _, subnet, _ in self._taken()]
        for network in networks:
            self.check(network)
        taken += [network.subnet for network in networks if network.subnet]
        further = [one.subnet for network in networks for one in network.further_ranges]
        taken += [one for one in further if isinstance(one, IPv4Network)]
        for network in networks:
            if network.enable_ipv4 and network.subnet is None and self._row(network.name) is None:
                taken.append(choose_subnet(self.settings.address_pool, taken))
            forwarding.check(network)
        demand.check(networks, containers, leaving, self.database)
        demand.check_ports(networks, containers, self.database)

    def check(self, network: Network) -> None:
        """Refuse a subnet that overlaps another network or a route of the host, or a parent that cannot be used.

        The range of macvlan and ipvlan is that of their parent's link: routes of the host are no reason against it.
        Raises ConflictError naming what is in the way, NotFoundError, UnsupportedError.
        """
        rows = self.database.query("SELECT * FROM networks")
        if not network.bridged:
            parents.check(network, self.links, rows)
        named = network.bridge_name
        held = self._row(network.name)
        if named and parents.exists(named) and (held is None or held["bridge"] != named):
            raise ConflictError(f"bridge {named} is a link of the host", where=str(network.id), hint="name another")
        if network.subnet is not None:
            _refuse_overlap(network.name, network.subnet, self._taken(routes=network.bridged))
        if network.ipv6_subnet is not None:
            _refuse_overlap(network.name, network.ipv6_subnet, self._taken_v6(routes=network.bridged))
        for further in network.further_ranges:
            if isinstance(further.subnet, IPv4Network):
                _refuse_overlap(network.name, further.subnet, self._taken(routes=network.bridged))
            else:
                _refuse_overlap(network.name, further.subnet, self._taken_v6(routes=network.bridged))

    def families(self, made: Sequence[Network]) -> Callable[[Container], Families]:
        """Which addresses that ports can lead to a container gets; ``made`` are networks made first."""
        rows = self.database.query("SELECT declared FROM networks")
        known = {item.name: item for item in (*(recorded(row[0]) for row in rows), *made)}
        able = {name: item for name, item in known.items() if item.bridged and not item.internal}

        def found(container: Container) -> Families:
            own = [able[endpoint.network] for endpoint in container.networks if endpoint.network in able]
            return Families(any(one.enable_ipv4 for one in own), any(one.enable_ipv6 for one in own))

        return found

    def create(self, network: Network, project: str) -> None:
        """Make the network, or what of it is missing."""
        with self._lock:
            row = self._row(network.name)
            if row is None:
                self.check(network)
                four, six = self._choose(network), self._choose_v6(network)
                made = not network.bridged and parents.is_ours(network, self.database.query("SELECT * FROM networks"))
                with self.database.transaction() as tx:
                    tx.execute(
                        "INSERT INTO networks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        (
                            network.name,
                            project,
                            network.model_dump_json(),
                            *four,
                            network.bridge_name or self._bridge(network.name),
                            datetime.now(UTC).isoformat(),
                            *six,
                            made,
                        ),
                    )
            self._realise(network.name)

    def update_labels(self, network: Network) -> None:
        """Record the declaration anew: labels live in it."""
        with self.database.transaction() as tx:
            tx.execute("UPDATE networks SET declared = ? WHERE name = ?", (network.model_dump_json(), network.name))

    def heal(self, name: str) -> None:
        """Put back bridge, address, rules and the name server."""
        with self._lock:
            self._realise(name)
            row = self._network_row(name)
            declared = recorded(row["declared"])
            if declared.bridged:
                self.firewall.forget(self.kernel().strays(row["bridge"], ranges_of(row)))
        self.name_server.settle(anyway=True)

    def delete(self, name: str) -> None:
        """Remove a network; absent is no error. Raises ConflictError naming containers that are on it."""
        with self._lock:
            row = self._row(name)
            if row is None:
                return
            users = self.users(name)
            if users:
                raise InUseError(f"network {name} is used by containers {', '.join(users)}", hint="remove those first")
            declared = recorded(row["declared"])
            if row["parent_made"]:
                parents.remove(declared, self.links, self.database.query("SELECT * FROM networks"))
            # Before its record: nothing else would lead a later run to a name server that has no networks.
            self.name_server.settle(anyway=True)
            # Nor to a table without networks.
            if len(self.database.query("SELECT name FROM networks LIMIT 2")) == 1:
                self.firewall.remove()
                self.guard.remove()
                self._left.clear()  # with their sets
            elif declared.bridged:
                self.firewall.remove_network(row["bridge"], ranges_of(row), declared)
            if declared.bridged:
                self.links.remove([row["bridge"]])
            with self.database.transaction() as tx:
                tx.execute("DELETE FROM leases WHERE network = ?", (name,))
                # One that is made anew by the same change is to have the same ranges and addresses.
                ranges = (name, row["subnet"], row["subnet6"])
                tx.execute("INSERT OR REPLACE INTO last_ranges VALUES (?, ?, ?)", ranges)
                tx.execute("DELETE FROM networks WHERE name = ?", (name,))

    def forget_gone(self) -> None:
        """At the end of a change: what networks and containers had that have not come back."""
        if gone := self.database.query(_GONE, (BESIDE,)):
            with self.database.transaction() as tx:
                tx.execute("DELETE FROM last_ranges")
                tx.executemany("DELETE FROM last_addresses WHERE rowid = ?", [(row[0],) for row in gone])

    def users(self, name: str) -> list[str]:
        """Names of the containers that are on it."""
        rows = self.database.query(
            "SELECT coalesce(c.name, substr(e.container_id, 1, 12)) FROM endpoints e"
            " LEFT JOIN containers c ON c.id = e.container_id WHERE e.network = ? ORDER BY 1",
            (name,),
        )
        return [str(row[0]) for row in rows]

    def observe(self, project: str | None, names: Sequence[str], kernel: Kernel | None = None) -> list[Observed]:
        """The networks of a project and those that are named, held against the kernel as it is or was seen."""
        found = []
        rows = self.database.query("SELECT * FROM networks ORDER BY name")
        asked = frozenset(names)
        wanted = [row for row in rows if row["name"] in asked or (project is not None and row["project"] == project)]
        named = self.name_server.observe([row["name"] for row in wanted])
        kernel = kernel or self.kernel()
        closed = self.closed(wanted)
        for row in wanted:
            declared = recorded(row["declared"])
            finding = named.get(row["name"], Finding())
            sentences = [*self._defects(row, kernel), finding.defect]
            defects = {sentence: Change.IN_PLACE.value for sentence in sentences if sentence}
            state = State.DEFECT if defects else State.READY
            found.append(
                Observed(
                    actual=declared,
                    declared=declared,
                    status=Status(state=state, addresses=_addresses(row)),
                    handle=row["bridge"],
                    project=row["project"],
                    defects=defects,
                    notes=tuple(note for note in self._notes(row, finding, closed) if note),
                )
            )
        return found

    def closed(self, rows: Sequence[Row] | None = None) -> dict[str, str]:
        """What other firewalls do to the bridges of networks that have a way out, of all that there are by default."""
        known = self.database.query("SELECT * FROM networks") if rows is None else rows
        bridges = {str(row["bridge"]): bool(row["subnet6"]) for row in known if recorded(row["declared"]).forwards}
        return foreign.closed(bridges, self.settings.nft_table) if bridges else {}

    def closed_for_new(self) -> tuple[str, ...]:
        """The same of a bridge that is made now; its name is not known yet, only how it begins."""
        name = link_name(self.settings.interface_prefix, "")
        found = foreign.closed({name: False}, self.settings.nft_table).get(name, "")
        return (found.replace(name, f"{self.settings.interface_prefix}..."),) if found else ()

    def of_builds(self) -> list[str]:
        """Names of the networks that image builds made; without a build under way they are left by a kill."""
        rows = self.database.query("SELECT name FROM networks WHERE name LIKE ?", (f"{BUILD_PREFIX}%",))
        return [str(row[0]) for row in rows]

    # -- parts -------------------------------------------------------------------------------------------------

    def _realise(self, name: str) -> None:
        row = self._network_row(name)
        declared = recorded(row["declared"])
        if not declared.bridged:
            if row["parent_made"]:
                parents.ensure(declared, self.links)
            return
        # Isolation first: no bridge is up before its rules are.
        self.firewall.ensure()
        self._guard_all()
        self.firewall.add_network(row["bridge"], ranges_of(row), declared)
        self.links.ensure_bridge(row["bridge"], ranges_of(row), declared.mtu)
        if not declared.internal:
            forwarding.switch_on(ipv4=bool(row["subnet"]), ipv6=bool(row["subnet6"]))

    def _defects(self, row: Row, kernel: Kernel) -> list[str]:
        declared = recorded(row["declared"])
        if not declared.bridged:
            made = bool(row["parent_made"])
            return [text for text, mendable in parents.findings(declared, made=made) if mendable]
        found = list(self.links.bridge_defects(row["bridge"], ranges_of(row)))
        if not kernel.has_network(row["bridge"], ranges_of(row), declared):
            found.append(
                "its firewall has rules that are not ours" if kernel.rules.more else "its firewall rules are missing"
            )
        for name, item in kernel.strays(row["bridge"], ranges_of(row)):
            led = name.startswith("ports_")
            found.append(
                f"port {item} leads to it, and nobody published that" if led else f"its firewall has {item} in {name}"
            )
        if not declared.internal:
            found += forwarding.defects(ipv4=bool(row["subnet"]), ipv6=bool(row["subnet6"]))
        return found

    def _notes(self, row: Row, finding: Finding, closed: Mapping[str, str]) -> list[str]:
        """What nobody but the user can mend; empty ones among them."""
        declared, made = recorded(row["declared"]), bool(row["parent_made"])
        found = () if declared.bridged else parents.findings(declared, made=made)
        of_parent = [f"{text}: its containers reach nobody" for text, mendable in found if not mendable]
        return [finding.note, self.guard.refusal, *of_parent, closed.get(row["bridge"], "")]

    def _bridge(self, name: str) -> str:
        return link_name(self.settings.interface_prefix, str(self.settings.state_root), name)

    def _choose(self, network: Network) -> tuple[str, str]:
        """Range and gateway of IPv4; empty without it."""
        if not network.enable_ipv4:
            return "", ""
        subnet = network.subnet
        if subnet is None:
            taken, last = [item for _, item, _ in self._taken()], self._last_range(network.name, "subnet")
            if last and not any(IPv4Network(last).overlaps(item) for item in taken):
                subnet = IPv4Network(last)
            subnet = subnet or choose_subnet(self.settings.address_pool, taken)
        return str(subnet), str(gateway_of(network, subnet))

    def _choose_v6(self, network: Network) -> tuple[str, str]:
        """Range and gateway; empty without IPv6."""
        if not network.enable_ipv6:
            return "", ""
        subnet = network.ipv6_subnet
        if subnet is None:
            taken, last = [item for _, item, _ in self._taken_v6()], self._last_range(network.name, "subnet6")
            if last and not any(IPv6Network(last).overlaps(item) for item in taken):
                subnet = IPv6Network(last)
            subnet = subnet or choose_subnet_v6(pool_v6(self.settings), taken)
        return str(subnet), str(gateway_v6_of(network, subnet))

    def _last_range(self, name: str, family: str) -> str:
        """What a network of this name had that this change has removed; empty when there was none."""
        rows = self.database.query("SELECT subnet, subnet6 FROM last_ranges WHERE network = ?", (name,))
        return str(rows[0][family]) if rows else ""

    def _taken_v6(self, *, routes: bool = True) -> list[tuple[str, IPv6Network, str]]:
        rows = self.database.query("SELECT * FROM networks WHERE subnet6 != ''")
        ours = {row["bridge"] for row in rows}
        every = [(str(row["name"]), one.subnet, str(row["bridge"])) for row in rows for one in ranges_of(row)]
        networks = [(name, subnet, bridge) for name, subnet, bridge in every if isinstance(subnet, IPv6Network)]
        found = [
            (f"a route of the host by {link}", net, link)
            for net, link in (self.links.routes(socket.AF_INET6) if routes else ())
            if link not in ours and isinstance(net, IPv6Network) and not net.is_link_local
        ]
        return networks + found

    def _taken(self, *, routes: bool = True) -> list[tuple[str, IPv4Network, str]]:
        rows = self.database.query("SELECT * FROM networks")
        ours = {row["bridge"] for row in rows}
        every = [(str(row["name"]), one.subnet, str(row["bridge"])) for row in rows for one in ranges_of(row)]
        networks = [(name, subnet, bridge) for name, subnet, bridge in every if isinstance(subnet, IPv4Network)]
        found = [
            (f"a route of the host by {link}", net, link)
            for net, link in (self.links.routes() if routes else ())
            if link not in ours and isinstance(net, IPv4Network)
        ]
        return networks + found


def _refuse_overlap(name: str, wanted: T, taken: Sequence[tuple[str, T, str]]) -> None:
    for other, subnet, _ in taken:
        if other != name and subnet.overlaps(wanted):
            raise ConflictError(
                f"subnet {wanted} of network {name} overlaps {subnet} of {other}", hint="choose another range"
            )


def _addresses(row: Row) -> dict[str, str]:
    names = {"subnet": "subnet", "gateway": "gateway", "ipv6_subnet": "subnet6", "ipv6_gateway": "gateway6"}
    return {name: row[column] for name, column in names.items() if row[column]}
