"""What is on the host, told in the fields of ``docker inspect``: containers, images, networks and volumes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bayplan.bridge.rooms import Asked, container_ids
from bayplan.errors import DeclarationError, NotFoundError
from bayplan.models import Container, Kind, Volume
from bayplan.runtime.protocol import Observed, Runtime, Scope

_FILTERS = ("label", "project", "service", "state", "health", "name")


def container_info(asked: Asked) -> dict[str, Any]:
    """One container by name, or all of this engine that the filters let through."""
    filters = dict(asked.options.get("filters") or {})
    unknown = sorted(filters.keys() - set(_FILTERS))
    if unknown:
        raise DeclarationError(f"filters: there is no {unknown[0]}", hint=f"there are {', '.join(_FILTERS)}")
    name = asked.options.get("name")
    with asked.opened() as (runtime, _):
        names = [str(name)] if name else all_containers(runtime)
        there = runtime.observe(Scope(names=container_ids(names))).of(Kind.CONTAINER)
        chosen = sorted(item.id.name for item in there if not item.superseded and _passes(item, filters))
        found = [dict(runtime.inspect(one)) for one in chosen]
    return _one_or_all("container", name, found)


def image_info(asked: Asked) -> dict[str, Any]:
    """Images by name, digest or id; all when none is named. One that is not here is none, and no error."""
    with asked.opened() as (runtime, _):
        verbs = runtime.image_verbs
        summaries = verbs.summaries()
        names = asked.options.get("name") or [(one.names or (one.digest,))[0] for one in summaries]
        found = list(_there(verbs.inspect, names))
    rows = [one.model_dump(mode="json") for one in summaries]
    return {"changed": False, "exists": bool(found), "images": found, "summaries": rows}


def network_info(asked: Asked) -> dict[str, Any]:
    """One network by name, or all."""
    name = asked.options.get("name")
    with asked.opened() as (runtime, _):
        names = [str(name)] if name else [item.id.name for item, _ in runtime.networks_there()]
        found = [dict(one) for one in _there(runtime.inspect_network, names)]
    return _one_or_all("network", name, found)


def volume_info(asked: Asked) -> dict[str, Any]:
    """One volume by name, or all, each with the containers that mount it."""
    name = asked.options.get("name")
    with asked.opened() as (runtime, _):
        found = [
            _volume(item, users) for item, users in runtime.volumes_there() if name is None or item.id.name == str(name)
        ]
    return _one_or_all("volume", name, found)


def of_single(kind: Kind, name: str, runtime: Runtime) -> dict[str, Any]:
    """A network or volume as its own module answers; null for one that is not there."""
    if kind is Kind.NETWORK:
        found = [dict(one) for one in _there(runtime.inspect_network, [name])]
    else:
        found = [_volume(item, users) for item, users in runtime.volumes_there() if item.id.name == name]
    return {kind.value: found[0] if found else None}


def all_containers(runtime: Runtime) -> list[str]:
    """The names of every container that was made from an image of this host: there is no other way to make one."""
    return sorted({name for image in runtime.image_verbs.summaries() for name in image.containers})


def _one_or_all(kind: str, name: object, found: list[dict[str, Any]]) -> dict[str, Any]:
    alone = {kind: found[0] if found else None} if name else {}
    return {"changed": False, "exists": bool(found), **alone, f"{kind}s": found}


def _there(inspect: Callable[[str], Mapping[str, Any]], names: Iterable[str]) -> Iterable[Mapping[str, Any]]:
    for name in names:
        try:
            yield inspect(name)
        except NotFoundError:
            continue


def _volume(item: Observed, users: tuple[str, ...]) -> dict[str, Any]:
    """By Docker's names, and our own."""
    held = item.actual
    assert isinstance(held, Volume)
    docker = {"Name": held.name, "Driver": held.driver, "Mountpoint": item.status.path, "Scope": "local"}
    own = {"project": item.project, "users": list(users), "defects": list(item.defects)}
    return {**docker, "Labels": dict(held.labels), "Options": dict(held.driver_opts), **own}


def _passes(item: Observed, filters: Mapping[str, Any]) -> bool:
    held = item.actual
    assert isinstance(held, Container)
    values = {
        "project": item.project,
        "service": held.service,
        "state": item.status.state.value,
        "health": item.status.health.value,
        "name": item.id.name,
    }
    for key, wanted in filters.items():
        if key == "label":
            name, equals, value = str(wanted).partition("=")
            if name not in held.labels or (equals and held.labels[name] != value):
                return False
        elif values[key] not in (wanted if isinstance(wanted, list) else [wanted]):
            return False
    return True
