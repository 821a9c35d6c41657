"""Places of containers on networks: namespace, links, addresses; how they are given, changed and taken back."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from sqlite3 import Connection, Row

from bayplan.errors import NotFoundError, RuntimeFailureError
from bayplan.models import Endpoint, Network, Port, Settings
from bayplan.runtime.native.networks import netlink
from bayplan.runtime.native.networks.addresses import lease, lease_v6, mac_of
from bayplan.runtime.native.networks.guard import Guard, Sender, senders
from bayplan.runtime.native.networks.inside import Place, configure_inside, prepare_inside
from bayplan.runtime.native.networks.links import Links, link_name
from bayplan.runtime.native.networks.names import Names
from bayplan.runtime.native.networks.nameserver import NameServer
from bayplan.runtime.native.networks.opening import Ports
from bayplan.runtime.native.networks.places import (
    PLACES,
    SENDERS,
    Attachment,
    first_address,
    inside_name,
    inside_names,
    moves,
    place_of,
    recorded,
    ways,
)
from bayplan.runtime.native.state import Database
from bayplan.system.namespaces import NetworkNamespace

_FIRST_V6 = 2
"""Where the search for an IPv6 address begins in a range of a network without IPv4: behind its gateway."""


class Endpoints(Ports):
    """The endpoints of one core's containers. Safe to use from many threads."""

    def __init__(self, settings: Settings, database: Database) -> None:
        super().__init__(settings, database)
        self.guard = Guard(settings.nft_table)
        self.names = Names(settings, database)
        self.name_server = NameServer(settings, database)
        self._links: Links | None = None
        self._lock = threading.RLock()
        self._leaving: set[str] = set()
        self._left: list[Sender] = []

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
        wanted = {endpoint.network for endpoint in endpoints}
        # What a change that was cut has left: nothing runs on these links any more.
        stale = [row for row in self.database.query(PLACES, (container_id,)) if row["network"] not in wanted]
        if stale:
            with self._lock:
                self._left += self._senders(container_id)
            self._forget(container_id, stale)
        self._record_endpoints(container_id, endpoints, inside_names(endpoints))
        return self._attachment(container_id, NetworkNamespace.create(prepare_inside))

    def reconnect(
        self, container_id: str, endpoints: Sequence[Endpoint], ports: Sequence[Port], netns: NetworkNamespace | None
    ) -> Attachment | None:
        """Put a container on exactly these networks, as it runs in ``netns``; what stays as it was is not touched.

        ``netns`` None: it does not run, and gets its new places when it starts. What it leaves is forgotten after its
        links are gone; a run that is cut begins again with what is recorded.
        """
        held = {row["network"]: row for row in self.database.query(PLACES, (container_id,))}
        wanted = {endpoint.network: endpoint for endpoint in endpoints}
        leaving = [row for network, row in held.items() if network not in wanted or moves(row, wanted[network])]
        before = self._senders(container_id) if leaving else []
        self._unlink([place_of(row) for row in leaving], netns)
        self._forget(container_id, leaving)
        if before:
            self.guard.forget(before, self._senders(container_id))
        gone = {row["network"] for row in leaving}
        inside = {network: inside_name(row) for network, row in held.items() if network not in gone}
        if netns is None:
            return None
        self._record_endpoints(container_id, endpoints, inside_names(endpoints, inside))
        attached = self._attachment(container_id, netns)
        added = zip(attached.addresses, attached.places, strict=True)
        fresh = [place for network, place in added if network not in inside]
        # All of its links: each may send under all of its addresses.
        self._admit(container_id)
        self.links.attach(netns, fresh)
        configure_inside(netns, fresh, attached.ways)
        self.set_ports(container_id, ports)
        self.names.changed()
        self.name_server.changed(networks=attached.bridged)
        return attached

    def _attachment(self, container_id: str, netns: NetworkNamespace) -> Attachment:
        """What is recorded of it."""
        rows = self.database.query(PLACES, (container_id,))
        out, places = ways(rows), tuple(place_of(row) for row in rows)
        # Of its way out if it can: its address there is the one it asks others from.
        bridges = [row for row in rows if recorded(row["declared"]).bridged]
        gateways = {row["network"]: str(row["gateway"] or row["gateway6"]) for row in bridges}
        bridges.sort(key=lambda row: ip_address(gateways[row["network"]]) not in [way.gateway for way in out])
        servers = (gateways[row["network"]] for row in bridges if self.name_server.serves(gateways[row["network"]]))
        asked = next(map(ip_address, servers), None)
        addresses = {row["network"]: ip_address(first_address(row)) for row in rows}
        return Attachment(netns, addresses, asked, places, out)

    def _forget(self, container_id: str, rows: Sequence[Row]) -> None:
        with self.database.transaction() as tx:
            for row in rows:
                key = (row["network"], container_id)
                tx.execute("DELETE FROM leases WHERE network = ? AND owner = ?", key)
                tx.execute("DELETE FROM endpoints WHERE network = ? AND container_id = ?", key)

    def _unlink(self, places: Sequence[Place], netns: NetworkNamespace | None) -> None:
        """Remove links; those without an end on the host inside, where they are as long as something runs there."""
        self.links.remove([place.host_name for place in places if place.bridged])
        children = [place.name for place in places if not place.bridged]
        if children and netns:
            batch = netlink.Batch()
            for name in children:
                batch.remove_link(name)
            with netns.visit(netlink.open_socket) as opened:
                batch.send(opened)

    def connect(self, container_id: str, attached: Attachment, ports: Sequence[Port]) -> None:
        """The second half: links, addresses inside, ports, names. Before anything runs in the namespace."""
        self._admit(container_id)
        self.links.attach(attached.netns, attached.places)
        configure_inside(attached.netns, attached.places, attached.ways)
        self.set_ports(container_id, ports)
        # Until an older server knows a container of internal networks only, it would ask others for it.
        at_once = not attached.ways and attached.name_server is not None
        self.name_server.changed(networks=attached.bridged, at_once=at_once)

    def tell_names(self, container_id: str) -> None:
        """Bring the container's hosts file, and those of its peers, up to what is recorded."""
        self.names.write(container_id)
        self.names.changed()

    def tell_peers(self) -> None:
        """Records of who is called what have changed: all learn of it soon."""
        self.names.changed()
        self.name_server.changed()

    def detach(self, container_id: str, *, ended: bool = False) -> None:
        """Take a container off: ports, links, addresses, names; absent is no error.

        ``ended``: nothing runs in its namespace any more, and nobody takes its place. The kernel then removes the
        links with the namespace, many at once where one by one takes it 20 ms each; ``settle`` sees to it.
        """
        self.set_ports(container_id, ())
        places = [place_of(row) for row in self.database.query(PLACES, (container_id,))]
        links = [place.host_name for place in places if place.bridged]
        if not ended:
            self.links.remove(links)
        with self._lock:
            self._leaving.update(links if ended else ())
            self._left += self._senders(container_id)
        with self.database.transaction() as tx:
            tx.execute("DELETE FROM leases WHERE owner = ?", (container_id,))
            tx.execute("DELETE FROM endpoints WHERE container_id = ?", (container_id,))
        self.names.changed()
        self.name_server.changed()

    def settle(self) -> None:
        """Return when the links of containers that have ended are gone, and what was known of them.

        Many at once: an element that is deleted takes the kernel 15 ms, as many as there are.
        """
        with self._lock:
            leaving, self._leaving = self._leaving, set()
            left, self._left = self._left, []
        if left:
            with self.balance.turn():
                self.guard.forget(left, self._senders())
        if leaving:
            self.links.await_end(leaving)

    def addresses(self) -> dict[str, dict[str, dict[str, str]]]:
        """``Status.addresses`` and ``addresses_v6`` of every container that has some, by container id."""
        found: dict[str, dict[str, dict[str, str]]] = {}
        for row in self.database.query("SELECT * FROM endpoints ORDER BY position"):
            one = found.setdefault(row["container_id"], {"addresses": {}, "addresses_v6": {}})
            one["addresses"][row["network"]] = first_address(row)
            if row["address6"]:
                one["addresses_v6"][row["network"]] = row["address6"]
        return found

    # -- parts -------------------------------------------------------------------------------------------------

    def _admit(self, container_id: str) -> None:
        """Let its links send as themselves; the table is made anew where somebody has flushed it.

        In turn with ``_guard_all``, which writes everything that it has read: what is admitted meanwhile would be lost.
        """
        with self.balance.turn():
            try:
                self.guard.admit(self._senders(container_id))
            except RuntimeFailureError:
                self.guard.ensure(self._senders())

    def _guard_all(self) -> None:
        """The table with what all links may say."""
        with self.balance.turn():
            self.guard.ensure(self._senders())

    def _senders(self, container_id: str = "") -> list[Sender]:
        """What the links of one container, or of all, may call themselves."""
        only = (" WHERE e.container_id = ?", (container_id,)) if container_id else ("", ())
        return senders(self.database.query(SENDERS + only[0], only[1]))

    def _record_endpoints(self, container_id: str, endpoints: Sequence[Endpoint], names: Mapping[str, str]) -> None:
        """``names`` are those of links inside, by network."""
        with self._lock, self.database.transaction() as tx:
            owner = tx.execute("SELECT name FROM containers WHERE id = ?", (container_id,)).fetchone()
            name = str(owner[0]) if owner else ""
            for position, endpoint in enumerate(endpoints):
                row = tx.execute("SELECT * FROM networks WHERE name = ?", (endpoint.network,)).fetchone()
                if row is None:
                    raise NotFoundError(f"network {endpoint.network} does not exist")
                key = (container_id, endpoint.network)
                old = tx.execute(
                    "SELECT address, address6 FROM endpoints WHERE container_id = ? AND network = ?", key
                ).fetchone()
                network = recorded(row["declared"])
                address, address6 = _leased(tx, network, row, container_id, endpoint, old, name)
                known = address or address6
                mac = (endpoint.mac_address or mac_of(known)) if network.has_macs and known else ""
                link = link_name(self.settings.interface_prefix, container_id, endpoint.network)
                place = (position, str(address or ""), mac, link, json.dumps(endpoint.aliases), str(address6 or ""))
                inside = (names[endpoint.network], endpoint.model_dump_json())
                tx.execute(
                    "INSERT OR REPLACE INTO endpoints VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*key, *place, *inside)
                )


def _leased(  # noqa: PLR0917 - what is known of one endpoint
    tx: Connection, network: Network, row: Row, owner: str, endpoint: Endpoint, old: Row | None, name: str
) -> tuple[IPv4Address | None, IPv6Address | None]:
    """Its addresses of the families that the network has; ``old`` are those that it has already."""
    first, second = None, None
    number = _FIRST_V6
    if row["subnet"]:
        subnet = IPv4Network(row["subnet"])
        wanted = endpoint.ipv4_address or (IPv4Address(old[0]) if old and old[0] else None)
        first = lease(tx, network, subnet, owner, wanted, name=name)
        number = int(first) - int(subnet[0])
    if row["subnet6"]:
        wanted6 = endpoint.ipv6_address or (IPv6Address(old[1]) if old and old[1] else None)
        subnet6 = IPv6Network(row["subnet6"])
        second = lease_v6(tx, network, subnet6, owner, wanted6, number=number, name="" if first else name)
    return first, second
