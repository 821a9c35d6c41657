"""The networks of one core.

Records come first and go last: what a kill left half made is named by its record, and made again or removed from it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from sqlite3 import Row

from bayplan.errors import ConflictError
from bayplan.models import Change, Container, Network
from bayplan.runtime.native.networks import demand
from bayplan.runtime.native.networks.addresses import choose_subnet, gateway_of
from bayplan.runtime.native.networks.endpoints import Endpoints, recorded
from bayplan.runtime.native.networks.kernel import Kernel
from bayplan.runtime.native.networks.links import link_name
from bayplan.runtime.native.networks.nameserver import Finding
from bayplan.runtime.protocol import Observed, State, Status

BUILD_PREFIX = "bayplan.build."
"""Begin of the names of networks made for the steps of one image build."""
_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")


class Networks(Endpoints):
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
        for network in networks:
            if network.subnet is None and self._row(network.name) is None:
                taken.append(choose_subnet(self.settings.address_pool, taken))
        demand.check(networks, containers, leaving, self.database)

    def check(self, network: Network) -> None:
        """Refuse a subnet that overlaps another network or a route of the host. Raises ConflictError naming it."""
        if network.subnet is None:
            return
        for other, subnet, _ in self._taken():
            if other != network.name and subnet.overlaps(network.subnet):
                raise ConflictError(
                    f"subnet {network.subnet} of network {network.name} overlaps {subnet} of {other}",
                    hint="choose another range",
                )

    def create(self, network: Network, project: str) -> None:
        """Make the network, or what of it is missing."""
        with self._lock:
            row = self._row(network.name)
            if row is None:
                self.check(network)
                taken = [subnet for _, subnet, _ in self._taken()]
                subnet = network.subnet or choose_subnet(self.settings.address_pool, taken)
                with self.database.transaction() as tx:
                    tx.execute(
                        "INSERT INTO networks VALUES (?, ?, ?, ?, ?, ?, ?)",
                        (
                            network.name,
                            project,
                            network.model_dump_json(),
                            str(subnet),
                            str(gateway_of(network, subnet)),
                            link_name(self.settings.interface_prefix, str(self.settings.state_root), network.name),
                            datetime.now(UTC).isoformat(),
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
        self.name_server.settle(anyway=True)

    def delete(self, name: str) -> None:
        """Remove a network; absent is no error. Raises ConflictError naming containers that are on it."""
        with self._lock:
            row = self._row(name)
            if row is None:
                return
            users = self.users(name)
            if users:
                raise ConflictError(
                    f"network {name} is used by containers {', '.join(users)}", hint="remove those first"
                )
            # Before its record: nothing else would lead a later run to a name server that has no networks.
            self.name_server.settle(anyway=True)
            # Nor to a table without networks.
            if len(self.database.query("SELECT name FROM networks LIMIT 2")) == 1:
                self.firewall.remove()
            else:
                self.firewall.remove_network(row["bridge"], row["subnet"], row["gateway"])
            self.links.remove([row["bridge"]])
            with self.database.transaction() as tx:
                tx.execute("DELETE FROM leases WHERE network = ?", (name,))
                tx.execute("DELETE FROM last_addresses WHERE network = ?", (name,))
                tx.execute("DELETE FROM networks WHERE name = ?", (name,))

    def users(self, name: str) -> list[str]:
        """Names of the containers that are on it."""
        rows = self.database.query(
            "SELECT coalesce(c.name, substr(e.container_id, 1, 12)) FROM endpoints e"
            " LEFT JOIN containers c ON c.id = e.container_id WHERE e.network = ? ORDER BY 1",
            (name,),
        )
        return [str(row[0]) for row in rows]

    def observe(self, project: str | None, names: Sequence[str]) -> list[Observed]:
        """The networks of a project and those that are named, held against the kernel."""
        found = []
        rows = self.database.query("SELECT * FROM networks ORDER BY name")
        wanted = [row for row in rows if row["name"] in names or (project is not None and row["project"] == project)]
        named = self.name_server.observe([row["name"] for row in wanted])
        kernel = self.kernel()
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
                    status=Status(state=state, addresses={"subnet": row["subnet"], "gateway": row["gateway"]}),
                    handle=row["bridge"],
                    project=row["project"],
                    defects=defects,
                    notes=(finding.note,) if finding.note else (),
                )
            )
        return found

    def of_builds(self) -> list[str]:
        """Names of the networks that image builds made; without a build under way they are left by a kill."""
        rows = self.database.query("SELECT name FROM networks WHERE name LIKE ?", (f"{BUILD_PREFIX}%",))
        return [str(row[0]) for row in rows]

    # -- parts -------------------------------------------------------------------------------------------------

    def _realise(self, name: str) -> None:
        row = self._network_row(name)
        declared = recorded(row["declared"])
        # Isolation first: no bridge is up before its rules are.
        self.firewall.ensure()
        self.firewall.add_network(row["bridge"], row["subnet"], row["gateway"], internal=declared.internal)
        self.links.ensure_bridge(row["bridge"], IPv4Address(row["gateway"]), IPv4Network(row["subnet"]), declared.mtu)
        if not declared.internal and _FORWARD.read_text().strip() != "1":
            _FORWARD.write_text("1")

    def _defects(self, row: Row, kernel: Kernel) -> list[str]:
        found = list(self.links.bridge_defects(row["bridge"], IPv4Address(row["gateway"])))
        internal = recorded(row["declared"]).internal
        if not kernel.has_network(row["bridge"], row["subnet"], row["gateway"], internal=internal):
            found.append("its firewall rules are missing")
        if not internal and _FORWARD.read_text().strip() != "1":
            found.append("the host does not forward (ip_forward)")
        return found

    def _taken(self) -> list[tuple[str, IPv4Network, str]]:
        rows = self.database.query("SELECT name, subnet, bridge FROM networks")
        ours = {row["bridge"] for row in rows}
        networks = [(str(row["name"]), IPv4Network(row["subnet"]), str(row["bridge"])) for row in rows]
        routes = [
            (f"a route of the host by {link}", net, link) for net, link in self.links.routes() if link not in ours
        ]
        return networks + routes
