"""What the kernel shows of Docker's networks and Docker hides: links that are down or gone, rules that were flushed.

Read where Docker is this host's and in the caller's network namespace, and the caller is root.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Any

from bayplan.models import Change, Container, Kind, Network
from bayplan.runtime.engine_api.client import EngineClient
from bayplan.runtime.protocol import Observed, Snapshot, State
from bayplan.system import links, sockets, xtables

_HINT = "restart Docker, which writes them anew"


@dataclass(frozen=True)
class Rules:
    """Rules of the tables filter and nat."""

    filter: tuple[str, ...]
    nat: tuple[str, ...]

    def name(self, bridge: str) -> bool:
        """Whether any of the filter's is about a bridge."""
        return any(word == bridge for rule in self.filter for word in rule.split())

    def masquerade(self, bridge: str) -> bool:
        """Whether what leaves a bridge for elsewhere has the host's address."""
        return any(f"! -o {bridge} " in f"{rule} " and "MASQUERADE" in rule for rule in self.nat)

    def lead_to(self, target: str) -> bool:
        """Whether a published port leads to an address and port inside."""
        return any(rule.endswith(f"--to-destination {target}") for rule in self.nat)


def daemon(client: EngineClient) -> int | None:
    """The pid of a Docker whose networks this thread sees; None for another host's or namespace's, and without root."""
    if client.place.scheme != "unix" or os.geteuid() != 0:
        return None
    try:
        pid = sockets.listener(Path(client.place.socket))
        mine, its = (Path(f"/proc/{one}/ns/net").stat() for one in ("thread-self", pid))
    except OSError:
        return None
    return pid if mine.st_ino == its.st_ino else None


def rules_of(pid: int) -> Rules | None:
    """The rules, if Docker writes some at all and they can be read."""
    if not _writes_rules(pid):
        return None
    filters, nat = xtables.rules("filter"), xtables.rules("nat")
    return None if filters is None or nat is None else Rules(filters, nat)


def _writes_rules(pid: int) -> bool:
    """By its command line and its settings: an administrator may keep it from that (dockerd(8), --iptables)."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        settings = json.loads(Path(f"/proc/{pid}/root/etc/docker/daemon.json").read_text())
    except FileNotFoundError:
        settings = {}
    except (OSError, ValueError):
        return False
    backend = settings.get("firewall-backend", "iptables")
    return b"--iptables=false" not in words and settings.get("iptables", True) is True and backend == "iptables"


def seen(snapshot: Snapshot, rules: Rules | None) -> Snapshot:
    """The snapshot with what the kernel lacks of it."""
    bridges = {item.id.name: bridge_of(item) for item in snapshot.of(Kind.NETWORK) if _is_bridge(item)}
    resources = dict(snapshot.resources)
    cut = set[str]()
    for key, item in snapshot.resources.items():
        if key.kind is not Kind.NETWORK or key.name not in bridges:
            continue
        defects: dict[str, str] = dict(_of_link(bridges[key.name], six=_has_ipv6(item)))
        notes: tuple[str, ...] = ()
        if not defects and rules and (lacking := _lacking(item, bridges[key.name], rules)):
            notes = (lacking,)
            cut.add(key.name)
        if defects or notes:
            resources[key] = item.model_copy(update={"defects": {**item.defects, **defects}, "notes": notes})
    for key, item in snapshot.resources.items():
        if rules and key.kind is Kind.CONTAINER and (closed := dict(_of_ports(item, rules, cut))):
            resources[key] = item.model_copy(update={"defects": {**item.defects, **closed}})
    return Snapshot(resources)


def bridge_of(network: Observed | Mapping[str, Any]) -> str:
    """The name of a network's link: its own, or one made of its id."""
    if isinstance(network, Observed):
        declared = network.actual.bridge_name if isinstance(network.actual, Network) else None
        return declared or f"br-{network.handle[:12]}"
    options = network.get("Options") or {}
    return str(options.get("com.docker.network.bridge.name") or f"br-{str(network['Id'])[:12]}")


def _is_bridge(item: Observed) -> bool:
    return isinstance(item.actual, Network) and item.actual.bridged and item.id.name != "bridge"


def _has_ipv6(item: Observed) -> bool:
    return isinstance(item.actual, Network) and item.actual.enable_ipv6


def _of_link(bridge: str, *, six: bool) -> Iterator[tuple[str, str]]:
    up = links.is_up(bridge)
    if up is None:
        yield f"its bridge {bridge} is gone", Change.RECREATE.value
        return
    if not up:
        yield f"its bridge {bridge} is down", Change.IN_PLACE.value
    for family, wanted in (("IPv4", True), ("IPv6", six and up)):  # that of IPv6 goes with a link that is down
        if wanted and not links.has_address(bridge, six=family == "IPv6"):
            yield f"its bridge {bridge} has lost its {family} address", Change.IN_PLACE.value


def mend(network: Mapping[str, Any]) -> None:
    """Set a network's bridge up and give it its addresses back. Raises OSError."""
    bridge = bridge_of(network)
    links.set_up(bridge)
    for pool in (network.get("IPAM") or {}).get("Config") or ():
        subnet = ip_network(pool["Subnet"], strict=False)
        if not links.has_address(bridge, six=subnet.version == 6):
            own = (pool.get("Gateway") or str(subnet[1])).partition("/")[0]
            links.add_address(bridge, ip_interface(f"{own}/{subnet.prefixlen}"))


def _lacking(network: Observed, bridge: str, rules: Rules) -> str:
    """What the firewall lacks of a network; empty for nothing."""
    actual = network.actual
    assert isinstance(actual, Network)
    if not rules.name(bridge):
        effect = "it is open to other networks" if actual.internal else "nothing is forwarded for it"
        return f"its rules are gone from the host's firewall (iptables), {effect}: {_HINT}"
    if actual.forwards and actual.masquerade and not rules.masquerade(bridge):
        return f"what leaves it has no longer the host's address (iptables), and finds no way back: {_HINT}"
    return ""


def _of_ports(item: Observed, rules: Rules, cut: Collection[str]) -> Iterator[tuple[str, str]]:
    """Published ports that lead nowhere; where a network's own rules are gone, a start would not bring them back."""
    actual = item.actual
    if not isinstance(actual, Container) or item.status.state is not State.RUNNING:
        return
    addresses = [address for name, address in item.status.addresses.items() if name not in cut]
    for port in item.status.ports:
        host, _, target = port.partition("->")
        number, _, protocol = target.partition("/")
        if host.startswith("[") or protocol not in ("tcp", "udp", "sctp") or not addresses:
            continue
        if len(addresses) == len(item.status.addresses) and not any(
            rules.lead_to(f"{address}:{number}") for address in addresses
        ):
            yield f"its published port {host} leads nowhere: the rule is gone", Change.RESTART.value
