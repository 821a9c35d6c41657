"""Options of several fields in one place, and those that hold ids of other resources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayplan.models import FileGrant, ImageReference
from bayplan.models.swarm import Placement, Service, ServiceNetwork, TaskLimits, TaskReservations
from bayplan.runtime.swarm.spec.option import Names
from bayplan.runtime.swarm.spec.values import cpus, nano_cpus

_SECRETS = "/run/secrets/"


def image_out(service: Service, _: Names, __: Any) -> str:
    """With the digest that the plan found, unless the declaration names one itself."""
    if service.digest and "@" not in service.image:
        return f"{service.image}@{service.digest}"
    return service.image


def image_back(found: str, _: Names) -> Mapping[str, Any]:
    """Name and digest apart."""
    name, _at, digest = found.partition("@")
    return {"image": name, "digest": digest or None}


def same_image(declared: str, found: str, digest: str | None) -> bool:
    """Whether a declared reference is what was found; Docker writes out ``latest``."""
    try:
        one, other = ImageReference.parse(declared), ImageReference.parse(found)
    except ValueError:
        return False
    if one.digest:
        return one.digest == digest and (one.registry, one.repository) == (other.registry, other.repository)
    return one == other


def mode_out(service: Service, _: Names, __: Any) -> dict[str, Any]:
    """``Mode``."""
    return {"Global": {}} if service.mode == "global" else {"Replicated": {"Replicas": service.replicas}}


def mode_back(found: Mapping[str, Any], _: Names) -> Mapping[str, Any]:
    """``Mode`` read. A job, of which we have none, is seen as a replicated service of none."""
    if "Global" in found:
        return {"mode": "global"}
    return {"replicas": (found.get("Replicated") or {}).get("Replicas", 0)}


def limits_out(service: Service, _: Names, __: Any) -> dict[str, Any]:
    """``Resources.Limits``."""
    limits = service.limits
    found = {"MemoryBytes": limits.memory and int(limits.memory), "Pids": limits.pids}
    found["NanoCPUs"] = nano_cpus(limits.cpus) if limits.cpus else None
    return {name: value for name, value in found.items() if value}


def limits_back(found: Mapping[str, Any], _: Names) -> Mapping[str, Any]:
    """``Resources.Limits`` read."""
    memory, pids, nano = (found.get(name) or None for name in ("MemoryBytes", "Pids", "NanoCPUs"))
    return {"limits": TaskLimits(memory=memory, pids=pids, cpus=cpus(nano) if nano else None)}


def reservations_out(service: Service, _: Names, __: Any) -> dict[str, Any]:
    """``Resources.Reservations``."""
    kept = service.reservations
    generic = [{"DiscreteResourceSpec": {"Kind": name, "Value": count}} for name, count in kept.generic.items()]
    found: dict[str, Any] = {"MemoryBytes": kept.memory and int(kept.memory), "GenericResources": generic}
    found["NanoCPUs"] = nano_cpus(kept.cpus) if kept.cpus else None
    return {name: value for name, value in found.items() if value}


def reservations_back(found: Mapping[str, Any], _: Names) -> Mapping[str, Any]:
    """``Resources.Reservations`` read."""
    memory, nano = found.get("MemoryBytes") or None, found.get("NanoCPUs") or None
    discrete = (one.get("DiscreteResourceSpec") for one in found.get("GenericResources") or ())
    generic = {one["Kind"]: one["Value"] for one in discrete if one}
    return {"reservations": TaskReservations(memory=memory, cpus=cpus(nano) if nano else None, generic=generic)}


def placement_out(service: Service, _: Names, before: Any) -> dict[str, Any]:
    """``Placement``; platforms that a registry's index named stay."""
    wanted = service.placement
    found = {
        "Constraints": list(wanted.constraints),
        "Preferences": [{"Spread": {"SpreadDescriptor": label}} for label in wanted.spread],
        "MaxReplicas": wanted.max_replicas_per_node,
        "Platforms": (before or {}).get("Platforms"),
    }
    return {name: value for name, value in found.items() if value}


def placement_back(found: Mapping[str, Any], _: Names) -> Mapping[str, Any]:
    """``Placement`` read."""
    spread = [one["Spread"]["SpreadDescriptor"] for one in found.get("Preferences") or () if one.get("Spread")]
    constraints, most = tuple(found.get("Constraints") or ()), found.get("MaxReplicas") or 0
    return {"placement": Placement(constraints=constraints, spread=tuple(spread), max_replicas_per_node=most)}


def networks_out(service: Service, names: Names, _: Any) -> list[dict[str, Any]]:
    """``Networks``."""
    found = []
    for one in service.networks:
        target: dict[str, Any] = {"Target": names.network_id(one.network)}
        if one.aliases:
            target["Aliases"] = list(one.aliases)
        found.append({**target, "DriverOpts": dict(one.driver_opts)} if one.driver_opts else target)
    return found


def networks_back(found: list[Mapping[str, Any]], names: Names) -> Mapping[str, Any]:
    """``Networks`` read, by name: their order means nothing."""
    read = [
        ServiceNetwork(
            network=names.network_name(one["Target"]),
            aliases=tuple(one.get("Aliases") or ()),
            driver_opts=one.get("DriverOpts") or {},
        )
        for one in found
    ]
    return {"networks": tuple(sorted(read, key=lambda one: one.network))}


def secrets_out(service: Service, names: Names, _: Any) -> list[dict[str, Any]]:
    """``Secrets``; files below /run/secrets by their names there, as Docker has them."""
    return [
        {
            "File": _file(one, one.target.removeprefix(_SECRETS)),
            "SecretID": names.secret_id(one.source),
            "SecretName": one.source,
        }
        for one in service.secrets
    ]


def configs_out(service: Service, names: Names, _: Any) -> list[dict[str, Any]]:
    """``Configs``."""
    return [
        {"File": _file(one, one.target), "ConfigID": names.config_id(one.source), "ConfigName": one.source}
        for one in service.configs
    ]


def _file(grant: FileGrant, name: str) -> dict[str, Any]:
    return {"Name": name, "UID": str(grant.uid), "GID": str(grant.gid), "Mode": grant.mode}


def secrets_back(found: list[Mapping[str, Any]], _: Names) -> Mapping[str, Any]:
    """``Secrets`` read."""
    return {"secrets": tuple(_grant(one["SecretName"], one.get("File") or {}, _SECRETS) for one in found)}


def configs_back(found: list[Mapping[str, Any]], _: Names) -> Mapping[str, Any]:
    """``Configs`` read."""
    return {"configs": tuple(_grant(one["ConfigName"], one.get("File") or {}, "/") for one in found)}


def _grant(source: str, file: Mapping[str, Any], top: str) -> FileGrant:
    name = file.get("Name") or source
    numbers = {key: int(file[key.upper()]) for key in ("uid", "gid") if str(file.get(key.upper(), "")).isdigit()}
    mode = {"mode": file["Mode"]} if file.get("Mode") is not None else {}
    return FileGrant(source=source, target=name if name.startswith("/") else f"{top}{name}", **numbers, **mode)
