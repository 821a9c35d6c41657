"""Drift of containers' places: what a running container lacks in the kernel, and how that is mended."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from bayplan.models import Change
from bayplan.runtime.native.networks.endpoints import Endpoints
from bayplan.runtime.native.networks.kernel import Kernel
from bayplan.runtime.native.networks.links import configure_inside
from bayplan.runtime.native.networks.places import PLACES, place_of, recorded
from bayplan.system.namespaces import NetworkNamespace


class MendedEndpoints(Endpoints):
    """Endpoints held against the kernel."""

    def kernel(self) -> Kernel:
        """What the kernel has now, to hold many records against."""
        return Kernel(self.links, self.firewall, self.guard, self.database)

    def endpoint_defects(self, container_id: str, kernel: Kernel) -> dict[str, str]:
        """What a running container lacks in the kernel, with the way it is mended."""
        found: dict[str, str] = {}
        for row in kernel.places.get(container_id, ()):
            if row["link"] not in kernel.links:
                found[f"its link to network {row['network']} is gone"] = Change.IN_PLACE.value
            elif not kernel.is_attached(row["link"], row["bridge"]):
                found[f"its link is not on the bridge of network {row['network']}"] = Change.IN_PLACE.value
        for sender in kernel.senders.get(container_id, ()):
            if not kernel.guarded.knows(sender):
                found["what its links may send is not recorded in the kernel"] = Change.IN_PLACE.value
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
        self.guard.ensure(self._senders())
        rows = self.database.query(PLACES, (container_id,))
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
