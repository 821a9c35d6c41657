"""Drift of containers' places: what a running container lacks in the kernel, and how that is mended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from sqlite3 import Row

from bayplan.models import Change
from bayplan.runtime.native.networks import seen_inside
from bayplan.runtime.native.networks.endpoints import Endpoints
from bayplan.runtime.native.networks.guard import Guarded, Sender
from bayplan.runtime.native.networks.held import Published
from bayplan.runtime.native.networks.inside import configure_inside, links_inside
from bayplan.runtime.native.networks.kernel import Kernel
from bayplan.runtime.native.networks.netlink import Link
from bayplan.runtime.native.networks.places import PLACES, Attachment, inside_name, place_of, recorded, ways
from bayplan.system.namespaces import NetworkNamespace
from bayplan.system.processes import Process


class MendedEndpoints(Endpoints):
    """Endpoints held against the kernel."""

    def kernel(self) -> Kernel:
        """What the kernel has now, to hold many records against."""
        return Kernel(self.links, self.firewall, self.guard, self.database, self.names)

    def endpoint_defects(self, container_id: str, kernel: Kernel, pid: int | None = None) -> dict[str, str]:
        """What a running container lacks in the kernel, with the way it is mended. ``pid`` is its first process."""
        rows = kernel.places.get(container_id, ())
        found = [*_of_links(rows, kernel, pid), *_of_senders(kernel.senders.get(container_id, ()), kernel.guarded)]
        found += self._of_ports(kernel.ports.get(container_id, ()), kernel)
        return dict.fromkeys(found, Change.IN_PLACE.value)

    def _of_ports(self, ports: Iterable[Published], kernel: Kernel) -> Iterator[str]:
        for port in ports:
            shown = f"port {port.published}/{port.protocol}"
            if port.key in kernel.shared:
                if not self.balance.is_so(port.key, kernel.rules):
                    yield f"{shown} is not balanced over its replicas"
            elif not kernel.is_open(port):
                how = "leads elsewhere" if kernel.rules.leads_elsewhere(port) else "is not open"
                yield f"{shown} {how}" + (f" on {port.host_ip}" if port.six else "")

    def inside_defects(self, container_id: str, kernel: Kernel, pid: int) -> dict[str, str]:
        """Addresses and ways out that a running container has lost. ``pid`` is its first process."""
        rows = kernel.places.get(container_id, ())
        return dict.fromkeys(seen_inside.lost(pid, rows, ways(rows)), Change.IN_PLACE.value) if rows else {}

    def names_defects(self, container_id: str, kernel: Kernel, servers: Sequence[str]) -> dict[str, str]:
        """Names that a running container was told and no longer has; ``servers`` are those declared for it."""
        found = ["its hosts file lost its peers"] if container_id in kernel.stale_names else []
        rows = [row for row in kernel.places.get(container_id, ()) if recorded(row["declared"]).bridged]
        if not servers and rows:
            gateways = (str(row["gateway"] or row["gateway6"]) for row in rows)
            servers = [gateway for gateway in gateways if self.name_server.serves(gateway)]
            told = any(seen_inside.asks(self.settings, container_id, server) for server in servers) or not servers
        else:
            told = all(seen_inside.asks(self.settings, container_id, server) for server in servers)
        if not told:
            found.append(f"its resolv.conf lost name server {servers[0]}")
        place = self.settings.run_root / "containers" / container_id
        if found and not all((place / name).exists() for name in ("hosts", "resolv.conf")):
            # The container has an inode that nobody can reach any more.
            return {"its files of names are gone": Change.RESTART.value}
        return dict.fromkeys(found, Change.IN_PLACE.value)

    def told(self, container_id: str, netns: NetworkNamespace) -> Attachment:
        """What a running container is to be told of its place."""
        return self._attachment(container_id, netns)

    def heal_endpoints(self, container_id: str, netns: NetworkNamespace) -> None:
        """Put a running container's links back on their bridges, its addresses and ways out, and its open ports.

        ``netns`` is the namespace it runs in.
        """
        self.firewall.ensure()
        self._guard_all()
        rows = self.database.query(PLACES, (container_id,))
        there, lost = links_inside(netns), []
        for place in map(place_of, rows):
            if place.bridged and self.links.index(place.host_name) is not None:
                self.links.join(place)
            elif place.bridged or place.name not in there:
                lost.append(place)
        self.links.attach(netns, lost)
        configure_inside(netns, [place_of(row) for row in rows], ways(rows), again=True)
        shared = self.balance.shared(container_id)
        self.firewall.publish(port for port in self.published_of(container_id) if port.key not in shared)
        self.balance.settle(shared)


def _of_links(rows: Sequence[Row], kernel: Kernel, pid: int | None) -> Iterator[str]:
    inside = _inside(pid) if any(not recorded(row["declared"]).bridged for row in rows) else {}
    for row in rows:
        bridged = recorded(row["declared"]).bridged
        link = kernel.links.get(row["link"]) if bridged else inside.get(inside_name(row))
        if link is None or not (bridged or link.up):
            yield f"its link to network {row['network']} is gone"
        elif not link.up:
            yield f"its link to network {row['network']} is down"
        elif bridged and not kernel.is_attached(row["link"], row["bridge"]):
            yield f"its link is not on the bridge of network {row['network']}"


def _of_senders(senders: Iterable[Sender], guarded: Guarded) -> Iterator[str]:
    for sender in senders:
        if not guarded.knows(sender):
            yield "what its links may send is not recorded in the kernel"
        elif guarded.lets_forge(sender):
            yield "its links may send under addresses that are not its own"


def _inside(pid: int | None) -> dict[str, Link]:
    """The links in the namespace of a process; none when it has ended."""
    process = Process.of(pid) if pid else None
    netns = NetworkNamespace.of(process) if process else None
    if netns is None:
        return {}
    try:
        return links_inside(netns)
    finally:
        netns.close()
