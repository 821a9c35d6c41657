"""One look at the kernel, against which many records are held: links and rules are listed once, not for each record."""

from __future__ import annotations

from functools import cached_property

from bayplan.runtime.native.networks.firewall import Firewall, Held, Published
from bayplan.runtime.native.networks.links import Links
from bayplan.runtime.native.networks.netlink import Link


class Kernel:
    """Links and rules as they were at the first question."""

    def __init__(self, links: Links, firewall: Firewall) -> None:
        self._links, self._firewall = links, firewall

    @cached_property
    def links(self) -> dict[str, Link]:
        """Every link of the host by name."""
        return self._links.all()

    @cached_property
    def rules(self) -> Held:
        """Our table."""
        return self._firewall.holds()

    def is_attached(self, link: str, bridge: str) -> bool:
        """Whether the link is up and on that bridge."""
        found, master = self.links.get(link), self.links.get(bridge)
        return found is not None and master is not None and found.up and found.master == master.index

    def has_network(self, bridge: str, subnet: str, gateway: str, *, internal: bool, subnet6: str = "") -> bool:
        """See ``Held.has_network``."""
        return self.rules.has_network(bridge, subnet, gateway, internal=internal, subnet6=subnet6)

    def is_open(self, port: Published) -> bool:
        """See ``Held.is_open``."""
        return self.rules.is_open(port)
