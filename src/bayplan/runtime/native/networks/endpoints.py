"""Places of containers on networks: namespace, links, addresses, published ports; how drift of them is mended."""

from __future__ import annotations

import functools
import itertools
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from sqlite3 import Connection, Row
from types import MappingProxyType

from bayplan.errors import ConflictError, NotFoundError
from bayplan.models import Change, Endpoint, Network, Port, Settings
from bayplan.runtime.native.networks import conntrack, published
from bayplan.runtime.native.networks.addresses import lease, lease_v6, mac_of
from bayplan.runtime.native.networks.balance import Balance
from bayplan.runtime.native.networks.firewall import Firewall, Published
from bayplan.runtime.native.networks.kernel import Kernel
from bayplan.runtime.native.networks.links import Links, Place, configure_inside, link_name, prepare_inside
from bayplan.runtime.native.networks.names import Names
from bayplan.runtime.native.networks.nameserver import NameServer
from bayplan.runtime.native.state import Database
from bayplan.system.namespaces import NetworkNamespace

_DRAIN_S = 0.2
_PLACES = """
    SELECT e.*, n.bridge, n.subnet, n.gateway, n.subnet6, n.gateway6, n.declared FROM endpoints e JOIN networks n
    ON n.name = e.network WHERE e.container_id = ? ORDER BY e.position
"""


@functools.lru_cache(maxsize=256)
def recorded(text: str) -> Network:
    """A recorded declaration as a model; models are frozen, so that many may share one."""
    return Network.model_validate_json(text)


def _moves(row: Row, endpoint: Endpoint) -> bool:
    """Whether a recorded place has another address than is declared now; one that is not declared stays."""
    other4 = endpoint.ipv4_address and str(endpoint.ipv4_address) != row["address"]
    other6 = endpoint.ipv6_address and str(endpoint.ipv6_address) != row["address6"]
    mac = endpoint.mac_address or mac_of(IPv4Address(row["address"]))
    return bool(other4 or other6 or mac != row["mac"])


def place_of(row: Row) -> Place:
    """A recorded endpoint's link; ``row`` is one of ``_PLACES``."""
    address6 = IPv6Address(row["address6"]) if row["address6"] else None
    return Place(
        row["link"],
        row["bridge"],
        row["interface"] or f"eth{row['position']}",
        row["mac"],
        IPv4Address(row["address"]),
        IPv4Network(row["subnet"]).prefixlen,
        address6,
        IPv6Network(row["subnet6"]).prefixlen if address6 else 0,
    )


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
    gateway6: IPv6Address | None = None
    """Its way out by IPv6; None when no network that is not internal has IPv6."""

    @property
    def own(self) -> dict[str, str]:
        """Its own addresses, for its hosts file."""
        six = {f"{place.host_name} IPv6": str(place.address6) for place in self.places if place.address6}
        return {network: str(address) for network, address in self.addresses.items()} | six


class Endpoints:
    """The endpoints of one core's containers. Safe to use from many threads."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings, self.database = settings, database
        self.firewall = Firewall(settings.nft_table, settings.interface_prefix)
        self.names = Names(settings, database)
        self.name_server = NameServer(settings, database)
        self.balance = Balance(settings.state_root, self.firewall, database)
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
        places = self._record_endpoints(container_id, endpoints)
        addresses = {endpoint.network: place.address for endpoint, place in zip(endpoints, places, strict=True)}
        gateway, gateway6, asked = self._ways([endpoint.network for endpoint in endpoints])
        netns = NetworkNamespace.create(prepare_inside)
        return Attachment(netns, addresses, asked, tuple(places), gateway, gateway6)

    def reconnect(
        self, container_id: str, endpoints: Sequence[Endpoint], ports: Sequence[Port], netns: NetworkNamespace | None
    ) -> Attachment | None:
        """Put a container on exactly these networks, as it runs in ``netns``; what stays as it was is not touched.

        ``netns`` None: it does not run, and gets its new places when it starts. What it leaves is forgotten after its
        links are gone; a run that is cut begins again with what is recorded.
        """
        held = {row["network"]: row for row in self.database.query(_PLACES, (container_id,))}
        wanted = {endpoint.network: endpoint for endpoint in endpoints}
        leaving = [row for network, row in held.items() if network not in wanted or _moves(row, wanted[network])]
        self.links.remove([row["link"] for row in leaving])
        with self.database.transaction() as tx:
            for row in leaving:
                key = (row["network"], container_id)
                tx.execute("DELETE FROM leases WHERE network = ? AND owner = ?", key)
                tx.execute("DELETE FROM endpoints WHERE network = ? AND container_id = ?", key)
        gone = {row["network"] for row in leaving}
        inside = {
            network: row["interface"] or f"eth{row['position']}" for network, row in held.items() if network not in gone
        }
        if netns is None:
            return None
        free = (name for name in map("eth{}".format, itertools.count()) if name not in inside.values())
        added = {endpoint.network: next(free) for endpoint in endpoints if endpoint.network not in inside}
        places = self._record_endpoints(container_id, endpoints, inside | added)
        gateway, gateway6, asked = self._ways(list(wanted))
        fresh = [place for place, endpoint in zip(places, endpoints, strict=True) if endpoint.network in added]
        self.links.attach(netns, fresh)
        configure_inside(netns, fresh, gateway, gateway6)
        self.set_ports(container_id, ports)
        self.names.changed()
        self.name_server.changed(networks=list(wanted))
        addresses = {network: place.address for network, place in zip(wanted, places, strict=True)}
        return Attachment(netns, addresses, asked, tuple(places), gateway, gateway6)

    def _ways(self, networks: Sequence[str]) -> tuple[IPv4Address | None, IPv6Address | None, IPv4Address | None]:
        """The ways out of a container that is on these, of each family, and the gateway that it asks for names."""
        gateway, gateway6, gateways = None, None, []
        for network in networks:
            row = self._network_row(network)
            gateways.append(IPv4Address(row["gateway"]))
            if recorded(row["declared"]).internal:
                continue
            gateway = gateway or gateways[-1]
            if row["gateway6"]:
                gateway6 = gateway6 or IPv6Address(row["gateway6"])
        # Of its first network that is not internal if it can: its address there is the one it asks others from.
        ordered = sorted(gateways, key=lambda item: item != gateway)
        asked = next((item for item in ordered if self.name_server.serves(str(item))), None)
        return gateway, gateway6, asked

    def connect(self, container_id: str, attached: Attachment, ports: Sequence[Port]) -> None:
        """The second half: links, addresses inside, ports, names. Before anything runs in the namespace."""
        self.links.attach(attached.netns, attached.places)
        configure_inside(attached.netns, attached.places, attached.gateway, attached.gateway6)
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
        held = set(self.published_of(container_id))
        if not ports and not held:
            return
        rows = self.database.query(
            "SELECT address, address6, network FROM endpoints WHERE container_id = ? ORDER BY position", (container_id,)
        )
        rows = [row for row in rows if not self._is_internal(row["network"])]
        address = next((row["address"] for row in rows), None)
        address6 = next((row["address6"] for row in rows if row["address6"]), "")
        if ports and address is None:
            raise ConflictError("ports can be published only from a network that is not internal")
        with self.balance.turn():
            before = set(self.balance.shared(container_id))
            with self.database.transaction() as tx:
                wanted = self._wanted(tx, container_id, ports, str(address), address6)
            # Closed before it is forgotten: an open port without a record would be found by nobody.
            gone = held - wanted
            self.firewall.withdraw(port for port in gone if port.key not in before)
            with self.database.transaction() as tx:
                for port in gone:
                    tx.execute(
                        "DELETE FROM ports WHERE host_ip = ? AND published = ? AND protocol = ? AND container_id = ?",
                        (*port.key, container_id),
                    )
                for port in wanted - held:
                    published.refuse_holder(tx, container_id, port.published, port.protocol, port.host_ip)
                    row = (*port.key, container_id, port.target, port.address)
                    tx.execute("INSERT INTO ports VALUES (?, ?, ?, ?, ?, ?)", row)
            after = set(self.balance.shared(container_id))
            self.firewall.publish(port for port in wanted if port.key not in after | before)
            self.balance.settle_now(before | after)
        conntrack.forget(gone, wanted - held)

    def join(self, container_id: str) -> None:
        """Let a container that runs now take its part of the ports that it shares with others."""
        self.balance.settle(self.balance.shared(container_id))

    def leave(self, container_id: str) -> bool:
        """Send new connections of shared ports to the others, as this one is about to end. Whether there are others.

        What it has begun to answer gets a moment for its end; programs that end well at their signal need more only
        for what takes them long.
        """
        keys = self.balance.shared(container_id)
        if not keys:
            return False
        with self.database.transaction() as tx:
            tx.execute("UPDATE containers SET wanted = 'stopped' WHERE id = ?", (container_id,))
        self.balance.settle(keys)
        others = any(self.balance.members(key) for key in keys)
        if others:
            time.sleep(_DRAIN_S)
        return others

    def addresses(self) -> dict[str, dict[str, dict[str, str]]]:
        """``Status.addresses`` and ``addresses_v6`` of every container that has some, by container id."""
        found: dict[str, dict[str, dict[str, str]]] = {}
        for row in self.database.query("SELECT * FROM endpoints ORDER BY position"):
            one = found.setdefault(row["container_id"], {"addresses": {}, "addresses_v6": {}})
            one["addresses"][row["network"]] = row["address"]
            if row["address6"]:
                one["addresses_v6"][row["network"]] = row["address6"]
        return found

    def kernel(self) -> Kernel:
        """What the kernel has now, to hold many records against."""
        return Kernel(self.links, self.firewall, self.database)

    def endpoint_defects(self, container_id: str, kernel: Kernel) -> dict[str, str]:
        """What a running container lacks in the kernel, with the way it is mended."""
        found: dict[str, str] = {}
        for row in kernel.places.get(container_id, ()):
            if row["link"] not in kernel.links:
                found[f"its link to network {row['network']} is gone"] = Change.IN_PLACE.value
            elif not kernel.is_attached(row["link"], row["bridge"]):
                found[f"its link is not on the bridge of network {row['network']}"] = Change.IN_PLACE.value
        for port in kernel.ports.get(container_id, ()):
            key = port.key
            if key in kernel.shared:
                if not self.balance.is_so(key, kernel.rules):
                    found[f"port {key[1]}/{key[2]} is not balanced over its replicas"] = Change.IN_PLACE.value
            elif not kernel.is_open(port):
                where = f" on {port.host_ip}" if port.six else ""
                found[f"port {port.published}/{port.protocol} is not open{where}"] = Change.IN_PLACE.value
        return found

    def heal_endpoints(self, container_id: str, netns: NetworkNamespace) -> None:
        """Put a running container's links back on their bridges, and open its recorded ports again.

        ``netns`` is the namespace it runs in.
        """
        self.firewall.ensure()
        rows = self.database.query(_PLACES, (container_id,))
        out = [row for row in rows if not recorded(row["declared"]).internal]
        ways = out[:1], [row for row in out if row["gateway6"]][:1]
        for row in rows:
            if self.links.index(row["link"]) is not None:
                self.links.join(row["link"], row["bridge"])
                continue
            self.links.attach(netns, [place_of(row)])
            gateway = IPv4Address(row["gateway"]) if row in ways[0] else None
            gateway6 = IPv6Address(row["gateway6"]) if row in ways[1] else None
            configure_inside(netns, [place_of(row)], gateway, gateway6)
        shared = self.balance.shared(container_id)
        self.firewall.publish(port for port in self.published_of(container_id) if port.key not in shared)
        self.balance.settle(shared)

    # -- parts -------------------------------------------------------------------------------------------------

    def _record_endpoints(
        self, container_id: str, endpoints: Sequence[Endpoint], names: Mapping[str, str] = MappingProxyType({})
    ) -> list[Place]:
        """``names`` are those of links inside, by network; by position when it is not told."""
        found: list[Place] = []
        for endpoint in endpoints:
            self._network_row(endpoint.network)
        with self._lock, self.database.transaction() as tx:
            owner = tx.execute("SELECT name FROM containers WHERE id = ?", (container_id,)).fetchone()
            name = str(owner[0]) if owner else ""
            for position, endpoint in enumerate(endpoints):
                row = tx.execute("SELECT * FROM networks WHERE name = ?", (endpoint.network,)).fetchone()
                key = (container_id, endpoint.network)
                old = tx.execute(
                    "SELECT address, address6 FROM endpoints WHERE container_id = ? AND network = ?", key
                ).fetchone()
                wanted = endpoint.ipv4_address or (IPv4Address(old[0]) if old else None)
                network, subnet = recorded(row["declared"]), IPv4Network(row["subnet"])
                address, address6 = lease(tx, network, subnet, container_id, wanted, name=name), None
                if row["subnet6"]:
                    second = endpoint.ipv6_address or (IPv6Address(old[1]) if old and old[1] else None)
                    number = int(address) - int(subnet[0])
                    range6 = IPv6Network(row["subnet6"])
                    address6 = lease_v6(tx, network, range6, container_id, second, number=number)
                link = link_name(self.settings.interface_prefix, container_id, endpoint.network)
                mac = endpoint.mac_address or mac_of(address)
                aliases, inside = json.dumps(endpoint.aliases), names.get(endpoint.network, f"eth{position}")
                tx.execute(
                    "INSERT OR REPLACE INTO endpoints VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*key, position, str(address), mac, link, aliases, str(address6 or ""), inside),
                )
                length6 = range6.prefixlen if address6 else 0
                found.append(Place(link, row["bridge"], inside, mac, address, subnet.prefixlen, address6, length6))
        return found

    def _wanted(
        self, tx: Connection, container_id: str, ports: Sequence[Port], address: str, address6: str
    ) -> set[Published]:
        """The ports with their numbers; those that the host chooses last, so that they spare the others."""
        found: set[Published] = set()
        for port in sorted(ports, key=lambda item: item.chosen):
            hosts = port.hosts(ipv6=bool(address6))
            taken = {item.published for item in found if item.protocol == port.protocol}
            number = published.choose(tx, container_id, port, hosts, taken) if port.chosen else port.published
            for host in hosts:
                leads = address6 if ":" in host else address
                if not leads:
                    raise ConflictError(f"port {port} needs a network that is not internal and has IPv6")
                found.add(Published(host, number, port.protocol, leads, port.target))
        return found

    def published_of(self, container_id: str) -> list[Published]:
        """What it publishes, by the records."""
        rows = self.database.query("SELECT * FROM ports WHERE container_id = ?", (container_id,))
        return [Published.of(row) for row in rows]

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
