"""A declaration as dotted places and JSON values: the same on every host, whatever it is called and wherever it lies.

``services.web.environment.LEVEL``, ``services.web.volumes./data``, ``networks.back.internal``. Names lose their
project, paths of the declaration's own directory become relative, what is unset is left out, lists without an order
are sorted. Values that may be secrets are left out, their names stay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from bayplan.models import Container, Image, Pin, Resource, Stack, labels
from bayplan.models.secret import FileGrant, may_be_secret
from bayplan.reconcile.diff import MASK
from bayplan.reconcile.spellings import plain
from bayplan.record.generations import contents_of
from bayplan.resolve.places import flat, is_set, set_fields

Places = dict[str, Any]
_OTHERS = frozenset({"network_mode", "pid", "ipc", "volumes_from"})
"""Fields that name containers."""
_APART = frozenset({"name", "service", "image", "environment", "labels", "mounts", "networks", "secrets", "configs"})
_APART |= {"depends_on", "container_labels", "digest", "replicas", *_OTHERS}
_LABELS = ("labels", "container_labels")
_OF_BUILD = frozenset({"context", "args", "bases", "secrets", "ssh", "commits"})


class Canon:
    """Writes the resources of one project. ``contents``: digests of configs, by container and config."""

    def __init__(self, stack: Stack, contents: Mapping[str, str] | None = None) -> None:
        self.stack, self.project, self.directory = stack, stack.name, stack.directory.rstrip("/")
        self.contents = contents_of(stack) if contents is None else contents
        self.images = {item.name: item for item in stack.images}

    def declared(self) -> Places:
        """All that the stack declares."""
        found: Places = {}
        services: dict[str, list[Container]] = {}
        for item in self.stack.containers:
            services.setdefault(item.service or self.short(item.name), []).append(item)
        for service, items in services.items():
            found |= self.service(service, items)
            found |= {f"services.{service}.{path}": value for path, value in self._image(items[0].image)}
        for item in self._of("services"):
            found |= self._swarm_service(item)
        kinds = {"networks": ("networks", "overlays"), "volumes": ("volumes",)}
        kinds |= {"secrets": ("secrets",), "configs": ("configs",)}
        for kind, fields in kinds.items():
            for resource in (one for name in fields for one in self._of(name)):
                found |= self.resource(kind, resource)
        return found

    def _of(self, field: str) -> Sequence[Any]:
        """Resources of a field that the stacks of swarms alone have, or all have."""
        found: Sequence[Any] = getattr(self.stack, field, ())
        return found

    def _swarm_service(self, item: Any) -> Places:
        """A service of a swarm: what containers of one would be."""
        head = f"services.{item.service or self.short(item.name, '_')}"
        found: Places = {f"{head}.deploy.replicas": item.replicas}
        found |= {f"{head}.{path}": value for path, value in self._container(item)}
        return found | {f"{head}.{path}": value for path, value in self._image(item.image)}

    def service(self, name: str, items: Sequence[Container]) -> Places:
        """The containers of a service: one description; where one of them differs, the values of all."""
        described = [dict(self._container(item)) for item in items]
        found: Places = {f"services.{name}.deploy.replicas": len(items)}
        for path in dict.fromkeys(path for one in described for path in one):
            values = [one.get(path) for one in described]
            same = all(value == values[0] for value in values)
            found[f"services.{name}.{path}"] = values[0] if same else values
        return found

    def resource(self, kind: str, resource: Resource) -> Places:
        """A network or volume."""
        head = f"{kind}.{self.short(resource.name, '_')}"
        places = {f"{head}.{path}": value for path, value in self._fields(resource, frozenset({"name", "labels"}))}
        own = getattr(resource, "labels", {})
        places |= {f"{head}.labels.{key}": value for key, value in own.items() if not _is_own(key)}
        if (content := getattr(resource, "content", None)) is not None and kind == "configs":
            places[f"{head}.sha256"] = hashlib.sha256(content.get_secret_value()).hexdigest()
        return {head: {}, **places}

    def short(self, name: str, between: str = "-") -> str:
        """A name without its project."""
        return name.removeprefix(f"{self.project}{between}")

    # -- parts ---------------------------------------------------------------------------------------------------

    def _container(self, item: Any) -> Iterator[tuple[str, Any]]:
        """A container, or a service of a swarm, whose fields are called the same."""
        yield "image", str(self._reference(item.image))
        yield from self._fields(item, _APART)
        for name, value in item.environment.items():
            yield f"environment.{name}", MASK if may_be_secret(name, value) else value
        for field in _LABELS:
            own = getattr(item, field, {}).items()
            yield from ((f"{field}.{name}", value) for name, value in own if not _is_own(name))
        for mount in item.mounts:
            if not getattr(mount, "of_image", False):
                yield f"volumes.{mount.target}", self._mount(mount)
        for endpoint in item.networks:
            yield f"networks.{self.short(endpoint.network, '_')}", self._endpoint(item, endpoint)
        for grant in item.secrets:
            yield f"secrets.{self.short(grant.source, '_')}", _grant(grant)
        for grant in item.configs:
            digest = self.contents.get(f"{item.name}/{grant.source}")
            yield (
                f"configs.{self.short(grant.source, '_')}",
                {**_grant(grant), **({"sha256": digest} if digest else {})},
            )
        for needed in item.depends_on:
            plainly = isinstance(needed, str)
            yield (
                f"depends_on.{needed if plainly else needed.service}",
                {} if plainly else set_fields(needed, {"service"}),
            )
        for name in _OTHERS:
            if value := getattr(item, name, None):
                yield name, self._named(plain(value))

    def _image(self, name: str) -> Iterator[tuple[str, Any]]:
        image = self.images.get(name)
        if image is None or image.build is None:
            if image is not None and image.pin is not None:
                yield "image.digest", image.pin.digest
            return
        build = image.build
        yield "build.context", self._below(build.context)
        yield from ((f"build.{path}", value) for path, value in self._fields(build, _OF_BUILD))
        yield from (
            (f"build.args.{key}", MASK if may_be_secret(key, value) else value) for key, value in build.args.items()
        )
        yield from ((f"build.bases.{key}", pin.digest) for key, pin in build.bases.items())
        yield from ((f"build.commits.{key}", commit) for key, commit in build.commits.items())
        yield from ((f"build.secrets.{one.id}", {}) for one in build.secrets)
        yield from ((f"build.ssh.{key}", {}) for key in build.ssh)

    def _endpoint(self, item: Any, endpoint: Any) -> dict[str, Any]:
        """Without the names that every container has on a network."""
        found = set_fields(endpoint, {"network", "aliases"})
        aliases = sorted(set(endpoint.aliases) - {item.name, item.service})
        return {**found, "aliases": aliases} if aliases else found

    def _mount(self, mount: BaseModel) -> Any:
        found = set_fields(mount, {"target", "digest", "of_image", "labels"})
        if kept := {key: value for key, value in getattr(mount, "labels", {}).items() if not _is_own(key)}:
            found["labels"] = kept
        if found.get("type") == "bind":
            found["source"] = self._below(str(found["source"]))
        elif found.get("type") == "volume":
            found["source"] = self.short(str(found["source"]), "_")
        elif found.get("type") == "image":
            image = self.images.get(str(found["source"]))
            found |= {"digest": image.pin.digest} if image and image.pin else {}
        return found

    def _fields(self, item: BaseModel, apart: frozenset[str]) -> Iterator[tuple[str, Any]]:
        """What is set, nested models by their parts."""
        for name, info in type(item).model_fields.items():
            value = getattr(item, name)
            if name not in apart and is_set(value, info):
                yield from flat(name, value)

    def _below(self, path: str) -> str:
        """A path relative to the declaration's directory, when it is in there."""
        if self.directory and (path == self.directory or path.startswith(f"{self.directory}/")):
            return f".{path.removeprefix(self.directory)}"
        return path

    def _named(self, value: Any) -> Any:
        """References to containers of the project, without it."""
        if isinstance(value, list):
            return [self._named(item) for item in value]
        head, colon, name = str(value).partition(":")
        return f"{head}:{self.short(name)}" if colon else self.short(head)

    def _reference(self, name: str) -> Any:
        image = self.images.get(name)
        return (image or Image(name=name)).reference


def as_pinned(digest: str, pin: Pin | None) -> str:
    """The digest that a lock has for an image, when an engine knows that by the digest of a platform or an id."""
    known = pin is not None and digest in (*pin.platforms.values(), *pin.ids.values())
    return pin.digest if pin is not None and known else digest


def _grant(grant: FileGrant) -> dict[str, Any]:
    return {"target": str(grant.target), "uid": grant.uid, "gid": grant.gid, "mode": f"{grant.mode:04o}"}


def _is_own(label: str) -> bool:
    return label.startswith((labels.OWN, labels.COMPOSE)) or label in (labels.STACK, labels.ANONYMOUS)
