"""Places of containers on networks: namespace, links, addresses, published ports; how drift of them is mended."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from sqlite3 import Connection, Row

from bayplan.errors import ConflictError, NotFoundError
from bayplan.models import Change, Endpoint, Network, Port, Settings
from bayplan.runtime.native.networks.addresses import lease, mac_of
from bayplan.runtime.native.networks.firewall import Firewall, Published
from bayplan.runtime.native.networks.kernel import Kernel
from bayplan.runtime.native.networks.links import Links, Place, configure_inside, link_name, prepare_inside
from bayplan.runtime.native.networks.names import Names
from bayplan.runtime.native.networks.nameserver import NameServer
from bayplan.runtime.native.state import Database
from bayplan.system.namespaces import NetworkNamespace


@functools.lru_cache(maxsize=256)
def recorded(text: str) -> Network:
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


class Endpoints:
    """The endpoints of one core's containers. Safe to use from many threads."""

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
            if gateway is None and not recorded(row["declared"]).internal:
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
            first_way_out = not gateway_given and not recorded(row["declared"]).internal
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
                network = recorded(row["declared"])
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
        return recorded(self._network_row(name)["declared"]).internal

    def _row(self, name: str) -> Row | None:
        rows = self.database.query("SELECT * FROM networks WHERE name = ?", (name,))
        return rows[0] if rows else None

    def _network_row(self, name: str) -> Row:
        row = self._row(name)
        if row is None:
            raise NotFoundError(f"network {name} does not exist")
        return row
