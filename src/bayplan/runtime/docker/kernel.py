"""What the kernel shows of Docker's networks and Docker hides: links that are down or gone, rules that were flushed.

Read where Docker is this host's and in the caller's network namespace, and the caller is root.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Any

from bayplan.models import Change, Container, Kind, Network
from bayplan.runtime.docker.rules import Rules
from bayplan.runtime.engine_api.client import EngineClient
from bayplan.runtime.protocol import Observed, Snapshot, State
from bayplan.system import links, sockets

_HINT = "restart Docker, which writes them anew"
_FOUR, _SIX = 4, 6


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


@dataclass(frozen=True)
class Looked:
    """What was looked at: ``links`` by name as ``system.links.state`` has them, ``rules`` by version of IP."""

    links: Mapping[str, tuple[bool | None, bool, bool]]
    rules: Mapping[int, Rules]


def look(snapshot: Snapshot, rules: Mapping[int, Rules]) -> Looked:
    """The links of the bridges in a snapshot."""
    return Looked({bridge: links.state(bridge) for bridge in _bridges(snapshot).values()}, rules)


def _bridges(snapshot: Snapshot) -> dict[str, str]:
    return {item.id.name: bridge_of(item) for item in snapshot.of(Kind.NETWORK) if _is_bridge(item)}


def seen(snapshot: Snapshot, looked: Looked) -> Snapshot:
    """The snapshot with what the kernel lacks of it."""
    bridges, rules = _bridges(snapshot), looked.rules
    resources = dict(snapshot.resources)
    cut = set[tuple[int, str]]()
    for key, item in snapshot.resources.items():
        if key.kind is not Kind.NETWORK or key.name not in bridges:
            continue
        bridge, six = bridges[key.name], _has_ipv6(item)
        defects: dict[str, str] = dict(_of_link(bridge, looked.links[bridge], six=six))
        lacking = {} if defects else {one: _lacking(item, bridge, rules[one]) for one in rules if one == _FOUR or six}
        notes = tuple(filter(None, lacking.values()))
        cut |= {(version, key.name) for version, note in lacking.items() if note}
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


def _of_link(bridge: str, state: tuple[bool | None, bool, bool], *, six: bool) -> Iterator[tuple[str, str]]:
    up, has_four, has_six = state
    if up is None:
        yield f"its bridge {bridge} is gone", Change.RECREATE.value
        return
    if not up:
        yield f"its bridge {bridge} is down", Change.IN_PLACE.value
    # That of IPv6 goes with a link that is down.
    for family, wanted, has in (("IPv4", True, has_four), ("IPv6", six and up, has_six)):
        if wanted and not has:
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
        return f"its rules are gone from the host's firewall ({rules.program}), {effect}: {_HINT}"
    if actual.forwards and actual.masquerade and not rules.masquerade(bridge):
        return f"what leaves it has no longer the host's address ({rules.program}), and finds no way back: {_HINT}"
    return ""


def _of_ports(
    item: Observed, rules: Mapping[int, Rules], cut: Collection[tuple[int, str]]
) -> Iterator[tuple[str, str]]:
    """Published ports that lead nowhere; where a network's own rules are gone, a start would not bring them back."""
    actual = item.actual
    if not isinstance(actual, Container) or item.status.state is not State.RUNNING:
        return
    places = {_FOUR: item.status.addresses, _SIX: item.status.addresses_v6}
    for port in item.status.ports:
        host, _, target = port.partition("->")
        number, _, protocol = target.partition("/")
        version = _SIX if host.startswith("[") else _FOUR
        known = rules.get(version)
        if known is None or protocol not in ("tcp", "udp", "sctp") or not places[version]:
            continue
        if any((version, name) in cut for name in places[version]):
            continue
        if not any(known.lead_to(address, number) for address in places[version].values()):
            yield f"its published port {host} leads nowhere: the rule is gone", Change.RESTART.value
