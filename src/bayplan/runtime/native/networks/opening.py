"""Ports of containers that are open: recorded, led on in the kernel, shared among replicas."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from sqlite3 import Connection, Row

from bayplan.errors import ConflictError, NotFoundError
from bayplan.models import Container, Port, Settings
from bayplan.runtime.native.networks import conntrack, published
from bayplan.runtime.native.networks.balance import Balance
from bayplan.runtime.native.networks.firewall import Firewall
from bayplan.runtime.native.networks.held import Published
from bayplan.runtime.native.networks.places import recorded
from bayplan.runtime.native.state import Database

_DRAIN_S = 0.2
_LAST_ADDRESSES = """
    INSERT OR REPLACE INTO last_addresses SELECT e.network, c.name, coalesce(nullif(e.address, ''), e.address6)
    FROM endpoints e JOIN containers c ON c.id = e.container_id WHERE c.id = ?
"""


class Ports:
    """The published ports of one core's containers. Safe to use from many threads."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings, self.database = settings, database
        self.firewall = Firewall(settings.nft_table, settings.interface_prefix)
        self.balance = Balance(settings.state_root, self.firewall, database)

    def set_ports(self, container_id: str, ports: Sequence[Port]) -> None:
        """Make the published ports exactly these; others are closed. Raises ConflictError naming a port's holder."""
        held = set(self.published_of(container_id))
        if not ports and not held:
            return
        address, address6 = self._leads(container_id)
        if ports and not (address or address6):
            raise ConflictError("ports can be published only from a bridge network that is not internal")
        with self.balance.turn():
            before = set(self.balance.shared(container_id))
            with self.database.transaction() as tx:
                wanted = self._wanted(tx, container_id, ports, address, address6)
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
                _record(tx, container_id, wanted - held)
            after = set(self.balance.shared(container_id))
            self.firewall.publish(port for port in wanted if port.key not in after | before)
            self.balance.settle_now(before | after)
        conntrack.forget(gone, wanted - held)

    def take_over(
        self, successor: str, predecessor: str, ports: Sequence[Port], swap: Callable[[Connection], None]
    ) -> None:
        """Lead all ports of ``predecessor`` (empty: nobody's) to ``successor``, in one transaction of the kernel.

        ``swap`` changes their other records, in the same transaction as those of the ports. Ports that the successor
        has not are closed; the predecessor's are forgotten when they are. Raises ConflictError naming a port's holder.
        """
        address, address6 = self._leads(successor)
        with self.balance.turn():
            held = set(self.published_of(predecessor))
            with self.database.transaction() as tx:
                swap(tx)
                # Away for the moment in which the successor's are chosen: it shall have the same.
                tx.execute("DELETE FROM ports WHERE container_id = ?", (predecessor,))
                wanted = self._wanted(tx, successor, ports, address, address6)
                for port in wanted:
                    published.refuse_holder(tx, successor, port.published, port.protocol, port.host_ip)
                _record(tx, successor, wanted)
                _record(tx, predecessor, held)
                tx.execute(_LAST_ADDRESSES, (successor,))
            self.balance.settle_now({port.key for port in held | wanted})
            with self.database.transaction() as tx:
                tx.execute("DELETE FROM ports WHERE container_id = ?", (predecessor,))
        conntrack.forget(held, wanted - held)

    def able(self, container: Container) -> tuple[Port, ...]:
        """The ports of a container, none when it has left every network that ports can be published from."""
        if not container.ports or not any(self._publishes(one.network) for one in container.networks):
            return ()
        return container.ports

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

    def published_of(self, container_id: str) -> list[Published]:
        """What it publishes, by the records."""
        rows = self.database.query(
            "SELECT * FROM ports WHERE container_id = ? ORDER BY target, protocol, host_ip, published", (container_id,)
        )
        return [Published.of(row) for row in rows]

    # -- parts -------------------------------------------------------------------------------------------------

    def _leads(self, container_id: str) -> tuple[str, str]:
        """The addresses that ports of a container lead to, of each family; empty where it has none."""
        rows = self.database.query(
            "SELECT address, address6, network FROM endpoints WHERE container_id = ? ORDER BY position", (container_id,)
        )
        rows = [row for row in rows if self._publishes(row["network"])]
        first, second = (next((str(row[name]) for row in rows if row[name]), "") for name in ("address", "address6"))
        return first, second

    def _wanted(
        self, tx: Connection, container_id: str, ports: Sequence[Port], address: str, address6: str
    ) -> set[Published]:
        """The ports with their numbers; those that the host chooses last, so that they spare the others."""
        found: set[Published] = set()
        for port in sorted(ports, key=lambda item: item.chosen):
            hosts = port.hosts(ipv4=bool(address), ipv6=bool(address6))
            taken = {item.published for item in found if item.protocol == port.protocol}
            number = published.choose(tx, container_id, port, hosts, taken) if port.chosen else port.published
            for host in hosts:
                leads = address6 if ":" in host else address
                if not leads:
                    family = "IPv6" if ":" in host else "IPv4"
                    raise ConflictError(f"port {port} needs a network that is not internal and has {family}")
                found.add(Published(host, number, port.protocol, leads, port.target))
        return found

    def _publishes(self, name: str) -> bool:
        """Whether ports can lead to a network: no rule of the host is asked for what macvlan and ipvlan send."""
        network = recorded(self._network_row(name)["declared"])
        return network.bridged and not network.internal

    def _row(self, name: str) -> Row | None:
        rows = self.database.query("SELECT * FROM networks WHERE name = ?", (name,))
        return rows[0] if rows else None

    def _network_row(self, name: str) -> Row:
        row = self._row(name)
        if row is None:
            raise NotFoundError(f"network {name} does not exist")
        return row


def _record(tx: Connection, container_id: str, ports: Iterable[Published]) -> None:
    for port in ports:
        row = (*port.key, container_id, port.target, port.address)
        tx.execute("INSERT INTO ports VALUES (?, ?, ?, ?, ?, ?)", row)
