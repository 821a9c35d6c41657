"""A container for a single command of a service (``docker compose run``), and the part of the stack that it needs.

It has the service's image, mounts, networks and limits; not its name, ports, addresses, restart policy and health
check.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bayplan.errors import NotFoundError
from bayplan.models import (
    Container,
    ImageMount,
    RestartPolicy,
    Stack,
    VolumeMount,
    labels,
)

_NOT_TAKEN = frozenset({labels.NUMBER})


def container(stack: Stack, service: str, changes: Mapping[str, Any], *, aliases: bool, ports: bool) -> Container:
    """The container; ``changes`` are fields that are given for it alone. Raises NotFoundError.

    ``aliases``: peers find it by the service's names too; ``ports``: it publishes the service's ports.
    """
    found = stack.containers_of(service)
    if not found:
        there = ", ".join(sorted({item.service for item in stack.containers})) or "none"
        raise NotFoundError(f"service {service} is not declared", hint=f"there are: {there}")
    template = found[0]
    kept = {name: value for name, value in template.labels.items() if name not in _NOT_TAKEN}
    given = dict(changes)
    name = given.pop("name", None) or f"{stack.name}-{service}-run-{secrets.token_hex(4)}"
    places = tuple(
        place.model_copy(
            update={
                **dict.fromkeys(("ipv4_address", "ipv6_address", "mac_address")),
                "aliases": tuple(one for one in place.aliases if one != template.name) if aliases else (),
            }
        )
        for place in template.networks
    )
    usual: dict[str, Any] = {
        "name": name,
        "service": "",
        "labels": {**kept, **given.pop("labels", {}), labels.ONE_OFF: "True"},
        "environment": {**template.environment, **given.pop("environment", {})},
        "mounts": _mounts(template, given.pop("mounts", ())),
        "networks": places,
        "ports": (*(template.ports if ports else ()), *given.pop("ports", ())),
        "restart": RestartPolicy(),
        "healthcheck": None,
    }
    # Validated anew: a port and network_mode host, for one, do not go together.
    secret = {field: getattr(template, field) for field in ("secrets", "configs")}
    made = Container.model_validate({**template.model_dump(exclude=set(secret)), **usual, **given})
    return made.model_copy(update=secret)


def part(stack: Stack, made: Container, *, dependencies: bool) -> Stack:
    """The stack with this container, what it depends on, and their images, networks and volumes alone."""
    chosen = {item.name: item for item in _closure(stack, made)} if dependencies else {}
    containers = (*chosen.values(), made)
    images = {item.image for item in containers}
    images |= {mount.source for item in containers for mount in item.mounts if isinstance(mount, ImageMount)}
    networks = {place.network for item in containers for place in item.networks}
    volumes = {mount.source for item in containers for mount in item.mounts if isinstance(mount, VolumeMount)}
    return stack.model_copy(
        update={
            "images": tuple(item for item in stack.images if item.name in images),
            "networks": tuple(item for item in stack.networks if item.name in networks),
            "volumes": tuple(item for item in stack.volumes if item.name in volumes),
            "containers": containers if dependencies else (made.model_copy(update={"depends_on": ()}),),
        }
    )


def of_services(stack: Stack, services: Sequence[str]) -> Stack:
    """The stack with these services, what they depend on, and what all of those need. Raises NotFoundError."""
    missing = [name for name in services if not stack.containers_of(name)]
    if missing:
        there = ", ".join(sorted({item.service for item in stack.containers}))
        raise NotFoundError(f"there is no service {', '.join(missing)}", hint=f"there are: {there}")
    made = [item for name in services for item in stack.containers_of(name)]
    chosen = {one.name: one for item in made for one in (*_closure(stack, item), item)}
    parts = [part(stack, item, dependencies=False) for item in chosen.values()]
    fields = ("images", "networks", "volumes")
    kept = {field: {item.name for one in parts for item in getattr(one, field)} for field in fields}
    update: dict[str, Any] = {
        field: tuple(item for item in getattr(stack, field) if item.name in kept[field]) for field in fields
    }
    containers = tuple(item for item in stack.containers if item.name in chosen)
    return stack.model_copy(update={**update, "containers": containers})


def _mounts(template: Container, added: Any) -> tuple[Any, ...]:
    """Those of the service; an added one goes before one at the same place."""
    found = {item.target: item for item in template.mounts if not (isinstance(item, VolumeMount) and item.of_image)}
    return tuple({**found, **{item.target: item for item in added}}.values())


def _closure(stack: Stack, made: Container) -> Iterator[Container]:
    seen: set[str] = set()
    waiting = [made]
    while waiting:
        for dependency in waiting.pop().depends_on:
            for item in stack.containers_of(dependency.service):
                if item.name not in seen:
                    seen.add(item.name)
                    waiting.append(item)
                    yield item
