"""What a reader of a plan should know before saying yes: exposure, downtime, lost isolation."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from bayplan.models import (
    BindMount,
    Change,
    Container,
    Entitlement,
    Image,
    Kind,
    Network,
    Resource,
    Volume,
    VolumeMount,
)
from bayplan.reconcile.isolation import of_bind, of_capabilities

_NAMED = 3
"""Containers that a sentence names; of more it says how many."""
_HOST_SPACES = {"pid": "processes", "ipc": "shared memory", "uts": "name", "cgroup": "cgroups"}
_OF_A_SERVER = frozenset({"nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "tmpfs", "ramfs"})
_ENTITLED = {
    Entitlement.INSECURE: "all of the host's privileges (security.insecure)",
    Entitlement.HOST_NETWORK: "the host's network (network.host)",
}


def risks_of(resource: Resource) -> Iterator[str]:
    """Risks that the declaration itself carries, as sentences."""
    if isinstance(resource, Volume):
        yield from _of_volume(resource.driver_opts)
    if isinstance(resource, Network) and not resource.source_check and not resource.external:
        yield "isolation: its containers may send under each other's addresses (bayplan.source_check)"
    if isinstance(resource, Image) and resource.build:
        if resource.build.network == "host":
            yield "isolation: commands of the build have the host's network (network: host)"
        for allowed in resource.build.entitlements:
            yield f"isolation: commands of the build may have {_ENTITLED[allowed]}"
    if resource.kind is Kind.SERVICE:
        from bayplan.reconcile import swarm

        yield from swarm.risks_of(resource)
    if not isinstance(resource, Container):
        return
    for port in resource.ports:
        if port.host_ip is None or port.host_ip.is_unspecified:
            shown = "a port that the host chooses" if port.chosen else f"port {port.published}/{port.protocol}"
            yield f"exposure: {shown} is open on every address of the host"
    yield from _of_isolation(resource)
    for mount in resource.mounts:
        if isinstance(mount, BindMount):
            yield from of_bind(mount.source, read_only=mount.read_only)
            if "shared" in mount.propagation:
                yield f"isolation: mounts made under {mount.target} pass to the host"


def _of_volume(options: Mapping[str, str]) -> Iterator[str]:
    """A volume that is a mount: of a directory, or of a file system that is the host's own."""
    device, words = options.get("device", ""), options.get("o", "").split(",")
    if {"bind", "rbind"} & set(words):
        yield from of_bind(device, read_only="ro" in words)
    elif device and options.get("type", "") not in _OF_A_SERVER:
        yield f"isolation: mounts {options.get('type', '')} {device} of the host".replace("  ", " ")


def _of_isolation(resource: Container) -> Iterator[str]:
    if resource.privileged:
        yield "isolation: privileged, the container can control the host"
    yield from of_capabilities(resource.cap_add)
    if resource.network_mode == "host":
        yield "isolation: shares the host's network"
    for name, what in _HOST_SPACES.items():
        if getattr(resource, name) == "host":
            yield f"isolation: shares the host's {what}"
    for option in resource.security_opt:
        name, value = option.replace(":", "=", 1).split("=", 1) if set(":=") & set(option) else (option, "")
        off = (name, value) in (("no-new-privileges", "false"), ("label", "disable"))
        if off or "unconfined" in option or name == "unmask":
            yield f"isolation: {option} takes a protection away"
    for device in resource.devices:
        yield f"isolation: uses the host's device {device.source}"
    for name in resource.cdi_devices:
        yield f"isolation: uses the host's device {name}, with all that its driver asks for"
    for rule in resource.device_cgroup_rules:
        yield f"isolation: may use devices {rule}"


def risk_of_change(change: Change) -> Iterator[str]:
    """Risks of the way a change is applied."""
    if change is Change.RECREATE:
        yield "downtime: the container is stopped before its successor answers"
    elif change is Change.RESTART:
        yield "downtime: the container is stopped and started again"


def risk_of_network(change: Change, users: Collection[str]) -> Iterator[str]:
    """Of a change of a network that containers are on."""
    if change is Change.RECREATE and users:
        who = ", ".join(sorted(users)) if len(users) <= _NAMED else f"{len(users)} containers"
        yield f"downtime: {who} {'are' if len(users) > 1 else 'is'} without it for a moment"


def risk_of_two(container: Container) -> Iterator[str]:
    """Of a successor that is started while its predecessor still runs."""
    shared = [
        item.source
        for item in container.mounts
        if isinstance(item, (VolumeMount, BindMount)) and not item.read_only and not getattr(item, "of_image", False)
    ]
    for source in dict.fromkeys(shared):
        yield f"data: {source} is written by two containers while one takes over from the other (start-first)"
