"""``networks``, ``network_mode``, ``ports`` and ``expose``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any, ClassVar

from bayplan.models import Container, Endpoint, Port
from bayplan.runtime.engine_api.engine import Engine
from bayplan.runtime.engine_api.options.option import Gap, Option, build
from bayplan.runtime.engine_api.options.shape import NOTHING, Body, Shape
from bayplan.values import frozen

SYSCTLS = "com.docker.network.endpoint.sysctls"
LINK_NAME = "com.docker.network.endpoint.ifname"
MACS_OF_PLACES = (1, 44)
_SYSCTLS = (1, 47)
_PRIORITIES = (1, 48)
_LINK_NAMES = (1, 49)
_MODES = ("none", "host")


@frozen
class Networks(Option):
    """Its places on networks. On none it has a loopback alone, never the engine's default network unasked."""

    def write(self, wanted: Container, body: Body) -> None:
        """The settings of each; the first one's MAC address is the container's in older versions."""
        body.host["NetworkMode"] = wanted.networks[0].network if wanted.networks else wanted.network_mode or "none"
        body.endpoints |= {one.network: settings(one, body.engine) for one in wanted.networks}
        if wanted.networks and wanted.networks[0].mac_address and not body.engine.speaks(MACS_OF_PLACES):
            body.config["MacAddress"] = wanted.networks[0].mac_address

    def read(self, shape: Shape) -> Any:
        """By network, with every MAC address that it has, chosen or not."""
        return tuple(_read(name, found, shape) for name, found in sorted(shape.endpoints.items()) if name not in _MODES)

    def settle(self, declared: Any, own: Shape, found: Shape) -> Any:
        """In the declared order; a MAC address that nobody declared is no difference."""
        there = {one.network: one for one in self.read(found)}
        written = {one.network: one for one in self.read(own)}
        settled: list[Endpoint] = []
        for endpoint in declared:
            seen = there.pop(endpoint.network, None)
            if seen is None:
                continue
            wanted = written[endpoint.network]
            if wanted.mac_address is None:
                seen = seen.model_copy(update={"mac_address": None})
            settled.append(endpoint if seen == wanted else seen)
        return (*settled, *(one.model_copy(update={"mac_address": None}) for one in there.values()))

    def foreign(self, wanted: Container, actual: Container) -> Any:
        """Its own name needs no alias: an engine finds it by that."""
        asked = {one.network for one in wanted.networks if wanted.name in one.aliases}
        return tuple(
            one.model_copy(update={"aliases": tuple(sorted({*one.aliases, wanted.name}))})
            if one.network in asked
            else one
            for one in actual.networks
        )

    def gaps(self, wanted: Container, engine: Engine) -> Iterator[Gap]:
        """Settings of a link that came with later versions."""
        for position, one in enumerate(wanted.networks):
            needs = {
                "mac_address": (MACS_OF_PLACES, one.mac_address is not None and position > 0),
                "sysctls": (_SYSCTLS, bool(one.sysctls)),
                "gw_priority": (_PRIORITIES, one.gw_priority != 0),
                "interface_name": (_LINK_NAMES, one.interface_name is not None),
            }
            for name, (api, used) in needs.items():
                if used and not engine.speaks(api):
                    yield f"networks[{one.network}].{name}", f"it needs {engine.release(api)}"


def settings(endpoint: Endpoint, engine: Engine) -> dict[str, Any]:
    """EndpointSettings, as a create and a connect take them."""
    addresses: dict[str, Any] = {}
    if endpoint.ipv4_address:
        addresses["IPv4Address"] = str(endpoint.ipv4_address)
    if endpoint.ipv6_address:
        addresses["IPv6Address"] = str(endpoint.ipv6_address)
    if endpoint.link_local_ips:
        addresses["LinkLocalIPs"] = [str(one) for one in endpoint.link_local_ips]
    made: dict[str, Any] = {"IPAMConfig": addresses} if addresses else {}
    if endpoint.aliases:
        made["Aliases"] = list(endpoint.aliases)
    if endpoint.mac_address:
        made["MacAddress"] = endpoint.mac_address
    if endpoint.gw_priority:
        made["GwPriority"] = endpoint.gw_priority
    options = {LINK_NAME: endpoint.interface_name} if endpoint.interface_name else {}
    if endpoint.sysctls:
        options[SYSCTLS] = ",".join(f"{name}={value}" for name, value in endpoint.sysctls.items())
    if options:
        made["DriverOpts"] = options
    return made


def _read(name: str, found: Mapping[str, Any], shape: Shape) -> Endpoint:
    addresses = found.get("IPAMConfig") or NOTHING
    options = found.get("DriverOpts") or NOTHING
    # Names that the engine adds by itself.
    implied = {shape.id[:12], shape.config.get("Hostname")}
    four, six = addresses.get("IPv4Address"), addresses.get("IPv6Address")
    mac = found.get("MacAddress")
    return build(
        Endpoint,
        network=name,
        aliases=tuple(sorted(set(found.get("Aliases") or ()) - implied)),
        ipv4_address=ip_address(four) if four else None,
        ipv6_address=ip_address(six) if six else None,
        mac_address=mac.lower() if mac else None,
        gw_priority=found.get("GwPriority") or 0,
        interface_name=options.get(LINK_NAME),
        link_local_ips=tuple(ip_address(one) for one in addresses.get("LinkLocalIPs") or ()),
        sysctls=dict(pair.partition("=")[::2] for pair in options.get(SYSCTLS, "").split(",") if pair),
    )


@frozen
class NetworkMode(Option):
    """none, host or another container's network; written with the networks."""

    def write(self, wanted: Container, body: Body) -> None:
        """``Networks`` writes it."""

    def read(self, shape: Shape) -> Any:
        """Unset for one that is on networks."""
        mode = shape.owner(str(shape.host.get("NetworkMode") or ""))
        return mode if mode in _MODES or mode.startswith("container:") else None


@frozen
class Ports(Option):
    """Ports published on the host."""

    def write(self, wanted: Container, body: Body) -> None:
        """Bindings by port inside; what is published is exposed, too."""
        bindings: dict[str, list[dict[str, str]]] = {}
        for port in wanted.ports:
            number = str(port.published or "") + (f"-{port.last}" if port.last else "")
            bound = {"HostIp": str(port.host_ip or ""), "HostPort": number}
            bindings.setdefault(f"{port.target}/{port.protocol}", []).append(bound)
        if bindings:
            body.host["PortBindings"] = bindings
            body.config.setdefault("ExposedPorts", {}).update({name: {} for name in bindings})

    def read(self, shape: Shape) -> Any:
        """As they were asked for: what the host chose is the status."""
        found = [
            _read_port(name, bound)
            for name, bindings in (shape.host.get("PortBindings") or {}).items()
            for bound in bindings or ()
        ]
        return tuple(sorted(found, key=lambda port: (port.target, port.protocol, port.published, str(port.host_ip))))


def _read_port(name: str, bound: Mapping[str, str]) -> Port:
    target, _, protocol = name.partition("/")
    first, _, last = (bound.get("HostPort") or "").partition("-")
    address = bound.get("HostIp")
    return build(
        Port,
        target=int(target),
        protocol=protocol or "tcp",
        published=int(first or 0),
        last=int(last) if last else None,
        host_ip=ip_address(address) if address else None,
    )


@frozen
class Exposed(Option):
    """Ports noted for readers."""

    kept: ClassVar[bool] = True

    def write(self, wanted: Container, body: Body) -> None:
        """With a protocol, as the API wants it."""
        if wanted.expose:
            names = [text if "/" in text else f"{text}/tcp" for text in wanted.expose]
            body.config.setdefault("ExposedPorts", {}).update({name: {} for name in names})

    def read(self, shape: Shape) -> Any:
        """Neither the image's nor the published ones."""
        image = {*(shape.image.get("ExposedPorts") or ()), *(shape.host.get("PortBindings") or ())}
        return tuple(sorted(set(shape.config.get("ExposedPorts") or ()) - image))

    def settle(self, declared: Any, own: Shape, found: Shape) -> Any:
        """As declared: it opens nothing, and is no reason for a change."""
        return declared


OPTIONS: tuple[Option, ...] = (
    Networks("networks"),
    NetworkMode("network_mode"),
    Ports("ports"),
    Exposed("expose"),
)
