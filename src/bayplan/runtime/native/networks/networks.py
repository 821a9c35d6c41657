"""The networks of one core and the places of its containers on them.

Records come first and go last: what a kill left half made is named by its record, and made again or removed from it.
"""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from sqlite3 import Connection, Row

from bayplan.errors import ConflictError, NotFoundError
from bayplan.models import Change, Container, Endpoint, Network, Port, Settings
from bayplan.runtime.native.networks import demand
from bayplan.runtime.native.networks.addresses import choose_subnet, gateway_of, lease, mac_of
from bayplan.runtime.native.networks.firewall import Firewall, Published
from bayplan.runtime.native.networks.kernel import Kernel
from bayplan.runtime.native.networks.links import Links, Place, configure_inside, link_name, prepare_inside
from bayplan.runtime.native.networks.names import Names
from bayplan.runtime.native.networks.nameserver import Finding, NameServer
from bayplan.runtime.native.state import Database
from bayplan.runtime.protocol import Observed, State, Status
from bayplan.system.namespaces import NetworkNamespace

BUILD_PREFIX = "bayplan.build."
"""Begin of the names of networks made for the steps of one image build."""
_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")


@functools.lru_cache(maxsize=256)
def _recorded(text: str) -> Network:
    """A recorded declaration as a model; models are frozen, so that many may share one."""
    return Network.model_validate_json(text)


@dataclass(frozen=True)
class Attachment:
    """A container's place on its networks: its namespace, its address on each network, and whom it asks for names."""

    netns: NetworkNamespace
    addresses: dict[str, IPv4Address]
    name_server: IPv4Address | None = None
    """None: those of the host, as no gateway of its networks can answer."""
    places: tuple[Place, ...] = ()
    gateway: IPv4Address | None = None
    """Its way out; None when all its networks are internal."""


class Networks:
    """All networks of one core. Safe to use from many threads."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings, self.database = settings, database
        self.firewall = Firewall(settings.nft_table, settings.interface_prefix)
        self.names = Names(settings, database)
        self.name_server = NameServer(settings, database)
        self._links: Links | None = None
        self._lock = threading.RLock()
        self._leaving: set[str] = set()

    @property
    def links(self) -> Links:
        """The netlink socket, opened at first use: its package is slow to import."""
        with self._lock:
            self._links = self._links or Links()
            return self._links

    def close(self) -> None:
        """Close the socket; the name server knows what is recorded."""
        self.settle()
        self.names.close()
        self.name_server.close()
        if self._links:
            self._links.close()

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
            declared = _recorded(row["declared"])
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

    # -- endpoints ---------------------------------------------------------------------------------------------

    def attach(self, container_id: str, endpoints: Sequence[Endpoint], ports: Sequence[Port]) -> Attachment:
        """Give a container its namespace, links, addresses and ports. Done again, it keeps its addresses."""
        attached = self.prepare(container_id, endpoints)
        self.connect(container_id, attached, ports)
        return attached

    def prepare(self, container_id: str, endpoints: Sequence[Endpoint]) -> Attachment:
        """The first half of ``attach``: addresses and an empty namespace, which is all that a bundle is told."""
        addresses = self._record_endpoints(container_id, endpoints)
        places, gateway, gateways = [], None, []
        for position, endpoint in enumerate(endpoints):
            row = self._network_row(endpoint.network)
            address, subnet = addresses[endpoint.network], IPv4Network(row["subnet"])
            host = link_name(self.settings.interface_prefix, container_id, endpoint.network)
            mac = endpoint.mac_address or mac_of(address)
            places.append(Place(host, row["bridge"], f"eth{position}", mac, address, subnet.prefixlen))
            gateways.append(IPv4Address(row["gateway"]))
            if gateway is None and not _recorded(row["declared"]).internal:
                gateway = gateways[-1]
        netns = NetworkNamespace.create(prepare_inside)
        # Of its first network that is not internal if it can: its address there is the one it asks others from.
        ordered = sorted(gateways, key=lambda item: item != gateway)
        asked = next((item for item in ordered if self.name_server.serves(str(item))), None)
        return Attachment(netns, addresses, asked, tuple(places), gateway)

    def connect(self, container_id: str, attached: Attachment, ports: Sequence[Port]) -> None:
        """The second half: links, addresses inside, ports, names. Before anything runs in the namespace."""
        self.links.attach(attached.netns, attached.places)
        configure_inside(attached.netns, attached.places, attached.gateway)
        self.set_ports(container_id, ports)
        # Until an older server knows a container of internal networks only, it would ask others for it.
        at_once = attached.gateway is None and attached.name_server is not None
        self.name_server.changed(networks=attached.addresses, at_once=at_once)

    def tell_names(self, container_id: str) -> None:
        """Bring the container's hosts file, and those of its peers, up to what is recorded."""
        self.names.write(container_id)
        self.names.changed()

    def detach(self, container_id: str, *, ended: bool = False) -> None:
        """Take a container off: ports, links, addresses, names; absent is no error.

        ``ended``: nothing runs in its namespace any more, and nobody takes its place. The kernel then removes the
        links with the namespace, many at once where one by one takes it 20 ms each; ``settle`` sees to it.
        """
        self.set_ports(container_id, ())
        rows = self.database.query("SELECT link FROM endpoints WHERE container_id = ?", (container_id,))
        links = [str(row["link"]) for row in rows]
        if ended:
            self._leaving.update(links)
        else:
            self.links.remove(links)
        with self.database.transaction() as tx:
            tx.execute("DELETE FROM leases WHERE owner = ?", (container_id,))
            tx.execute("DELETE FROM endpoints WHERE container_id = ?", (container_id,))
        self.names.changed()
        self.name_server.changed()

    def settle(self) -> None:
        """Return when the links of containers that have ended are gone."""
        with self._lock:
            leaving, self._leaving = self._leaving, set()
        if leaving:
            self.links.await_end(leaving)

    def set_ports(self, container_id: str, ports: Sequence[Port]) -> None:
        """Make the published ports exactly these; others are closed. Raises ConflictError naming a port's holder."""
        rows = self.database.query(
            "SELECT address, network FROM endpoints WHERE container_id = ? ORDER BY position", (container_id,)
        )
        address = next((row["address"] for row in rows if not self._is_internal(row["network"])), None)
        if ports and address is None:
            raise ConflictError("ports can be published only from a network that is not internal")
        wanted = {Published(str(p.host_ip), p.published, p.protocol, str(address), p.target) for p in ports}
        held = set(self._published(container_id))
        # Closed before it is forgotten: an open port without a record would be found by nobody.
        self.firewall.withdraw(held - wanted)
        with self.database.transaction() as tx:
            for port in held - wanted:
                key = (port.host_ip, port.published, port.protocol)
                tx.execute("DELETE FROM ports WHERE host_ip = ? AND published = ? AND protocol = ?", key)
            for port in wanted - held:
                self._record_port(tx, container_id, port)
        self.firewall.publish(wanted)

    def addresses(self) -> dict[str, dict[str, str]]:
        """Network name to address of every container that has some, by container id."""
        found: dict[str, dict[str, str]] = {}
        for row in self.database.query("SELECT container_id, network, address FROM endpoints ORDER BY position"):
            found.setdefault(row["container_id"], {})[row["network"]] = row["address"]
        return found

    def kernel(self) -> Kernel:
        """What the kernel has now, to hold many records against."""
        return Kernel(self.links, self.firewall)

    def endpoint_defects(self, container_id: str, kernel: Kernel) -> dict[str, str]:
        """What a running container lacks in the kernel, with the way it is mended."""
        found: dict[str, str] = {}
        for row in self.database.query(
            "SELECT e.link, e.network, n.bridge FROM endpoints e JOIN networks n ON n.name = e.network"
            " WHERE e.container_id = ?",
            (container_id,),
        ):
            if row["link"] not in kernel.links:
                found[f"its link to network {row['network']} is gone"] = Change.IN_PLACE.value
            elif not kernel.is_attached(row["link"], row["bridge"]):
                found[f"its link is not on the bridge of network {row['network']}"] = Change.IN_PLACE.value
        for port in self._published(container_id):
            if not kernel.is_open(port):
                found[f"port {port.published}/{port.protocol} is not open"] = Change.IN_PLACE.value
        return found

    def heal_endpoints(self, container_id: str, netns: NetworkNamespace) -> None:
        """Put a running container's links back on their bridges, and open its recorded ports again.

        ``netns`` is the namespace it runs in.
        """
        self.firewall.ensure()
        gateway_given = False
        for row in self.database.query(
            "SELECT e.*, n.bridge, n.subnet, n.gateway, n.declared FROM endpoints e JOIN networks n"
            " ON n.name = e.network WHERE e.container_id = ? ORDER BY e.position",
            (container_id,),
        ):
            first_way_out = not gateway_given and not _recorded(row["declared"]).internal
            gateway_given = gateway_given or first_way_out
            if self.links.index(row["link"]) is not None:
                self.links.join(row["link"], row["bridge"])
                continue
            address, length = IPv4Address(row["address"]), IPv4Network(row["subnet"]).prefixlen
            place = Place(row["link"], row["bridge"], f"eth{row['position']}", row["mac"], address, length)
            gateway = IPv4Address(row["gateway"]) if first_way_out else None
            self.links.attach(netns, [place])
            configure_inside(netns, [place], gateway)
        self.firewall.publish(self._published(container_id))

    # -- parts -------------------------------------------------------------------------------------------------

    def _realise(self, name: str) -> None:
        row = self._network_row(name)
        declared = _recorded(row["declared"])
        # Isolation first: no bridge is up before its rules are.
        self.firewall.ensure()
        self.firewall.add_network(row["bridge"], row["subnet"], row["gateway"], internal=declared.internal)
        self.links.ensure_bridge(row["bridge"], IPv4Address(row["gateway"]), IPv4Network(row["subnet"]), declared.mtu)
        if not declared.internal and _FORWARD.read_text().strip() != "1":
            _FORWARD.write_text("1")

    def _defects(self, row: Row, kernel: Kernel) -> list[str]:
        found = list(self.links.bridge_defects(row["bridge"], IPv4Address(row["gateway"])))
        internal = _recorded(row["declared"]).internal
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

    def _record_endpoints(self, container_id: str, endpoints: Sequence[Endpoint]) -> dict[str, IPv4Address]:
        found: dict[str, IPv4Address] = {}
        for endpoint in endpoints:
            self._network_row(endpoint.network)
        with self._lock, self.database.transaction() as tx:
            owner = tx.execute("SELECT name FROM containers WHERE id = ?", (container_id,)).fetchone()
            name = str(owner[0]) if owner else ""
            for position, endpoint in enumerate(endpoints):
                row = tx.execute("SELECT * FROM networks WHERE name = ?", (endpoint.network,)).fetchone()
                key = (container_id, endpoint.network)
                old = tx.execute("SELECT address FROM endpoints WHERE container_id = ? AND network = ?", key).fetchone()
                wanted = endpoint.ipv4_address or (IPv4Address(old[0]) if old else None)
                network = _recorded(row["declared"])
                address = lease(tx, network, IPv4Network(row["subnet"]), container_id, wanted, name=name)
                link = link_name(self.settings.interface_prefix, container_id, endpoint.network)
                mac = endpoint.mac_address or mac_of(address)
                tx.execute(
                    "INSERT OR REPLACE INTO endpoints VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (*key, position, str(address), mac, link, json.dumps(endpoint.aliases)),
                )
                found[endpoint.network] = address
        return found

    def _record_port(self, tx: Connection, container_id: str, port: Published) -> None:
        holder = tx.execute(
            "SELECT container_id FROM ports WHERE published = ? AND protocol = ? AND (host_ip = ? OR"
            " host_ip = '0.0.0.0' OR ? = '0.0.0.0')",
            (port.published, port.protocol, port.host_ip, port.host_ip),
        ).fetchone()
        if holder and holder[0] != container_id:
            name = tx.execute("SELECT name FROM containers WHERE id = ?", (holder[0],)).fetchone()
            owner = name[0] if name else str(holder[0])[:12]
            raise ConflictError(f"port {port.published}/{port.protocol} is published by container {owner}")
        row = (port.host_ip, port.published, port.protocol, container_id, port.target, port.address)
        tx.execute("INSERT INTO ports VALUES (?, ?, ?, ?, ?, ?)", row)

    def _published(self, container_id: str) -> list[Published]:
        rows = self.database.query("SELECT * FROM ports WHERE container_id = ?", (container_id,))
        return [
            Published(row["host_ip"], row["published"], row["protocol"], row["address"], row["target"]) for row in rows
        ]

    def _is_internal(self, name: str) -> bool:
        return _recorded(self._network_row(name)["declared"]).internal

    def _row(self, name: str) -> Row | None:
        rows = self.database.query("SELECT * FROM networks WHERE name = ?", (name,))
        return rows[0] if rows else None

    def _network_row(self, name: str) -> Row:
        row = self._row(name)
        if row is None:
            raise NotFoundError(f"network {name} does not exist")
        return row
