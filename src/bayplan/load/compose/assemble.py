"""A merged Compose file to a ``Stack``: final names, replicas, labels, and the references between parts checked."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from bayplan.errors import DeclarationError
from bayplan.load.compose import dotenv, keys
from bayplan.load.compose.grants import read_grants
from bayplan.load.compose.images import ImageReader
from bayplan.load.compose.mounts import MountReader
from bayplan.load.compose.nodes import (
    Node,
    as_flag,
    as_integer,
    as_list,
    as_map,
    as_text,
    check_keys,
    not_built,
    pairs,
    text_map,
    text_or_texts,
    texts,
    wrong,
)
from bayplan.load.compose.ports import read_ports
from bayplan.load.compose.resources import final_name, read_network, read_volume
from bayplan.load.compose.service import deploy_replicas, resources, restart, simple
from bayplan.load.compose.validate import make
from bayplan.models import Container, Dependency, Endpoint, Mount, Stack, TmpfsMount, Volume, labels

_log = logging.getLogger("bayplan.load")
_FIELDS = {"mounts": "volumes", "resources": "deploy", "name": "container_name"}
_DECLARED = ("networks", "volumes", "secrets", "configs")
_EMPTY_MODES = ("none", "host")


@dataclass(frozen=True)
class Context:
    """What assembling needs besides the file. ``environment`` has ``.env`` under the shell's variables."""

    project: str
    directory: Path
    environment: Mapping[str, str]
    profiles: Sequence[str]
    sources: tuple[str, ...]


class Assembler:
    """Reads one merged file once."""

    def __init__(self, root: Node, context: Context) -> None:
        self.root, self.context = root, context
        check_keys(root, built=keys.TOP_BUILT, known=keys.TOP_KNOWN)
        services = root.get("services")
        if services is None or not as_map(services):
            raise wrong(root, "declares no services")
        self.all = as_map(services)
        self.services = {key: node for key, node in self.all.items() if self._enabled(node)}
        self.declared = {name: as_map(found) if (found := root.get(name)) else {} for name in _DECLARED}
        self.counts = {key: deploy_replicas(node) for key, node in self.services.items()}
        self.images = ImageReader(context.project, context.directory, context.environment, self.declared["secrets"])
        self.used: dict[str, dict[str, None]] = {"networks": {}, "volumes": {}}
        self.anonymous: list[str] = []

    def _enabled(self, node: Node) -> bool:
        check_keys(node, built=keys.SERVICE_BUILT, known=keys.SERVICE_KNOWN)
        wanted = node.get("profiles")
        return not wanted or "*" in self.context.profiles or bool(set(texts(wanted)) & set(self.context.profiles))

    def stack(self) -> Stack:
        """The stack. Raises DeclarationError for the first fault."""
        containers = [one for key, node in self.services.items() for one in self._service(key, node)]
        self._check_cycle({key: self._dependencies(node) for key, node in self.services.items()})
        self._check_unique(containers)
        project = self.context.project
        networks = [
            read_network(self.declared["networks"].get(key, Node(None, self.root.at)), key, project)
            for key in self.used["networks"]
        ]
        volumes = [read_volume(self.declared["volumes"][key], key, project) for key in self.used["volumes"]]
        own = {labels.PROJECT: project, labels.MANAGED: "true"}
        volumes += [Volume(name=name, labels={**own, labels.ANONYMOUS: ""}) for name in self.anonymous]
        return Stack(
            name=project,
            images=tuple(self.images.found.values()),
            networks=tuple(networks),
            volumes=tuple(volumes),
            containers=tuple(containers),
            sources=self.context.sources,
        )

    def _name(self, key: str, number: int) -> str:
        given = self.services[key].get("container_name")
        return as_text(given) if given else f"{self.context.project}-{key}-{number}"

    def _service(self, key: str, node: Node) -> list[Container]:
        count, given = self.counts[key], node.get("container_name")
        if given and count > 1:
            raise wrong(given, f"{count} replicas cannot have one name", hint="remove container_name or the replicas")
        common: dict[str, Any] = simple(node, self.context.directory)
        common |= {
            "service": key,
            "image": self.images.read(node, key),
            "environment": self._environment(node),
            "restart": restart(node),
            "resources": resources(node),
            "depends_on": self._dependencies(node),
        }
        ports = node.get("ports")
        published = read_ports(ports) if ports else ()
        mode = self._mode(node)
        common |= {name: self._shared(node, name) for name in ("pid", "ipc") if node.get(name)}
        for name in ("secrets", "configs"):
            if given := node.get(name):
                where, values = self.context.directory, self.context.environment
                common[name] = read_grants(given, name, self.declared[name], where, values)
        if attach := node.get("attach"):
            as_flag(attach)  # for whoever follows the logs; nothing of the container
        if mode != "host":
            common["ports"] = published
        elif ports:
            _log.warning("%s: %s: published ports mean nothing with network_mode host", ports.at, ports.path)
        own = {labels.PROJECT: self.context.project, labels.SERVICE: key, labels.MANAGED: "true"}
        common["labels"] = {**self._label_files(node), **text_map(node.get("labels")), **own}
        return self._replicas(key, node, common, mode) if count else []

    def _replicas(self, key: str, node: Node, common: Mapping[str, Any], mode: str | None) -> list[Container]:
        """The containers of a service: the first is read and checked, the others differ from it by their names."""
        found: list[Container] = []
        for number in range(1, self.counts[key] + 1):
            name, own = self._name(key, number), {labels.NUMBER: str(number)}
            values: dict[str, Any] = {"name": name, "labels": {**common["labels"], **own}}
            if not found or self.anonymous:
                values["mounts"] = self._mounts(node, name)
            if mode is None:
                values["networks"] = self._endpoints(node, key, name)
            if not found:
                values |= {"network_mode": mode} if mode else {}
                found.append(make(Container, node, {**common, **values}, _FIELDS))
            else:
                found.append(found[0].model_copy(update=values))
        return found

    def _mounts(self, node: Node, name: str) -> tuple[Any, ...]:
        project = self.context.project
        names = {key: final_name(one, key, project) for key, one in self.declared["volumes"].items()}
        reader = MountReader(
            self.context.directory, self.context.environment.get("HOME", "/"), names, name, self.images.mounted
        )
        mounts = {item.target: item for item in self._others_mounts(node, reader)}
        mounts |= {item.target: item for item in reader.read(node)}
        self.used["volumes"] |= dict.fromkeys(sorted(reader.used))
        self.anonymous += reader.anonymous
        return tuple(mounts.values())

    def _others_mounts(self, node: Node, reader: MountReader) -> list[Mount]:
        """``volumes_from``: the volumes and binds of other services' first containers."""
        found: list[Mount] = []
        if given := node.get("volumes_from"):
            for item in as_list(given):
                name, _, mode = as_text(item).partition(":")
                if name == "container":
                    raise not_built(item, "volumes of a container outside the file are not built yet")
                if mode not in ("", "ro", "rw"):
                    raise wrong(item, f"unknown mode {mode!r}", hint="ro or rw")
                self._check_service(item, name)
                other = replace(reader, container=self._name(name, 1), anonymous=[])
                mounts = [one for one in other.read(self.services[name]) if not isinstance(one, TmpfsMount)]
                found += [one.model_copy(update={"read_only": True}) if mode == "ro" else one for one in mounts]
        return found

    def _mode(self, node: Node) -> str | None:
        mode = node.get("network_mode")
        if mode is None:
            return None
        text = as_text(mode)
        if node.get("networks"):
            raise wrong(mode, "network_mode and networks exclude each other")
        if text.startswith("service:"):
            other = text.removeprefix("service:")
            self._check_service(mode, other)
            return f"container:{self._name(other, 1)}"
        if text in _EMPTY_MODES or (text.startswith("container:") and text != "container:"):
            return text
        raise not_built(mode, f"network_mode {text!r} is not built yet")

    def _shared(self, node: Node, name: str) -> str:
        """``pid`` or ``ipc``: a service's name as that of its first container."""
        place = node.get(name) or node
        text = as_text(place)
        if not text.startswith("service:"):
            return text
        other = text.removeprefix("service:")
        self._check_service(place, other)
        return f"container:{self._name(other, 1)}"

    def _label_files(self, node: Node) -> dict[str, str]:
        found: dict[str, str] = {}
        if files := node.get("label_file"):
            for item in as_list(files) if isinstance(files.value, list) else [files]:
                file = self.context.directory / Path(as_text(item)).expanduser()
                if not file.is_file():
                    raise wrong(item, f"label file {str(file)!r} does not exist")
                found |= dotenv.read(file, {})
        return found

    def _endpoints(self, node: Node, key: str, name: str) -> tuple[Endpoint, ...]:
        given = node.get("networks")
        wanted: dict[str, Node] = {"default": Node(None, node.at, node.path)}
        if given and isinstance(given.value, list):
            wanted = {as_text(item): item.with_value(None) for item in given.value}
        elif given:
            wanted = as_map(given)
        ranked: list[tuple[int, Endpoint]] = []
        for network, place in wanted.items():
            declared = self.declared["networks"].get(network)
            if declared is None and network != "default":
                raise wrong(place, f"network {network!r} is not declared", hint="add it under the top-level networks")
            self.used["networks"][network] = None
            values: dict[str, Any] = {"network": final_name(declared, network, self.context.project)}
            aliases, priority = [key, name], 0
            if not place.is_null:
                check_keys(place, built=keys.ENDPOINT_BUILT, known=keys.ENDPOINT_KNOWN)
                if found := place.get("aliases"):
                    aliases += texts(found)
                if found := place.get("priority"):
                    priority = as_integer(found)
                for field in ("ipv4_address", "ipv6_address", "mac_address"):
                    if found := place.get(field):
                        values[field] = as_text(found).lower()
            values["aliases"] = tuple(dict.fromkeys(aliases))
            ranked.append((-priority, make(Endpoint, place, values)))
        return tuple(endpoint for _, endpoint in sorted(ranked, key=lambda one: one[0]))

    def _environment(self, node: Node) -> dict[str, str]:
        found: dict[str, str] = {}
        outer = self.context.environment
        if files := node.get("env_file"):
            for item in as_list(files) if isinstance(files.value, list) else [files]:
                found |= self._env_file(item, {**found, **outer})
        if given := node.get("environment"):
            for name, value, place in pairs(given):
                taken = outer.get(name) if value is None else value
                if not name or "=" in name:
                    raise wrong(place, f"{name!r} is not a variable's name")
                if taken is not None:
                    found[name] = taken
        return found

    def _env_file(self, node: Node, inherited: Mapping[str, str]) -> dict[str, str]:
        required, raw, path = True, False, node
        if isinstance(node.value, dict):
            check_keys(node, built={"path", "required", "format"})
            inner, flag, form = node.get("path"), node.get("required"), node.get("format")
            if inner is None:
                raise wrong(node, "needs a path")
            if form and as_text(form) != "raw":
                raise wrong(form, f"unknown format {as_text(form)!r}", hint="raw")
            path, required, raw = inner, as_flag(flag) if flag else True, form is not None
        (text,) = text_or_texts(path)
        file = self.context.directory / Path(text).expanduser()
        if not file.is_file():
            if required:
                raise wrong(path, f"env file {str(file)!r} does not exist", hint="make it, or set required: false")
            return {}
        return dotenv.read(file, inherited, raw=raw)

    def _check_service(self, place: Node, name: str) -> None:
        if name not in self.all:
            raise wrong(place, f"service {name!r} is not declared")
        if name not in self.services:
            raise wrong(place, f"service {name!r} is disabled by its profiles", hint="enable one with --profile")
        if not self.counts[name]:
            raise wrong(place, f"service {name!r} has no replicas")

    def _dependencies(self, node: Node) -> tuple[Dependency, ...]:
        found: dict[str, Dependency] = {}
        if given := node.get("depends_on"):
            entries = (
                {as_text(item): item.with_value(None) for item in as_list(given)}
                if isinstance(given.value, list)
                else as_map(given)
            )
            for name, place in entries.items():
                values: dict[str, Any] = {"service": name}
                if not place.is_null:
                    check_keys(place, built={"condition", "restart", "required"})
                    values |= {key: as_flag(one) for key in ("restart", "required") if (one := place.get(key))}
                    if condition := place.get("condition"):
                        values["condition"] = as_text(condition)
                dependency = make(Dependency, place, values)
                if not dependency.required and name not in self.services:
                    continue
                self._check_service(place, name)
                found[name] = dependency
        for key in ("network_mode", "pid", "ipc"):
            mode = node.get(key)
            if mode and as_text(mode).startswith("service:"):
                # The namespace's owner: re-creating it leaves this container without one, so it follows.
                name = as_text(mode).removeprefix("service:")
                self._check_service(mode, name)
                found.setdefault(name, Dependency(service=name, restart=True))
        if others := node.get("volumes_from"):
            for item in as_list(others):
                name = as_text(item).partition(":")[0]
                if name in self.services:
                    found.setdefault(name, Dependency(service=name))
        return tuple(found.values())

    def _check_cycle(self, edges: Mapping[str, Sequence[Dependency]]) -> None:
        try:
            TopologicalSorter({key: [one.service for one in many] for key, many in edges.items()}).prepare()
        except CycleError as error:
            circle = list(reversed(error.args[1]))
            path = " -> ".join(circle)
            raise wrong(self.services[circle[0]], f"depends_on forms a cycle: {path}", hint="remove one") from error

    def _check_unique(self, containers: Sequence[Container]) -> None:
        names: dict[str, str] = {}
        ports: dict[tuple[str, int, str], str] = {}
        for one in containers:
            node = self.services[one.service]
            place = node.get("container_name") or node
            if one.name in names:
                raise wrong(place, f"container name {one.name!r} is also that of service {names[one.name]!r}")
            names[one.name] = one.service
            for port in one.ports:
                for host in () if port.chosen else port.hosts(ipv6=True):
                    key = (host, port.published, port.protocol)
                    if ports.get(key, one.service) != one.service:  # replicas share their service's ports
                        raise wrong(node.get("ports") or node, f"host port {port} is also published by {ports[key]!r}")
                    ports[key] = one.service


def assemble(root: Node, context: Context) -> Stack:
    """The stack that a merged, interpolated file declares. Raises DeclarationError."""
    if not isinstance(root.value, dict):
        raise DeclarationError("a Compose file must be a map with the key services", where=root.at)
    return Assembler(root, context).stack()
