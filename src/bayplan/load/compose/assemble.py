"""A merged Compose file to a ``Stack``: final names, replicas, labels, and the references between parts checked."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bayplan.errors import DeclarationError
from bayplan.load.compose import keys
from bayplan.load.compose.allowances import read_allowances
from bayplan.load.compose.deploy import replicas, restart
from bayplan.load.compose.endpoints import bound, endpoints, wanted
from bayplan.load.compose.environment import environment, label_files
from bayplan.load.compose.faults import Faults
from bayplan.load.compose.grants import Places, read_grants
from bayplan.load.compose.images import ImageReader
from bayplan.load.compose.limits import resources
from bayplan.load.compose.links import aliases
from bayplan.load.compose.mounts import MountReader
from bayplan.load.compose.nodes import (
    Node,
    as_flag,
    as_list,
    as_map,
    as_text,
    check_keys,
    text_map,
    texts,
    wrong,
)
from bayplan.load.compose.ports import read_ports
from bayplan.load.compose.references import References
from bayplan.load.compose.resources import final_name, read_network, read_volume
from bayplan.load.compose.rolling import update_config
from bayplan.load.compose.service import simple
from bayplan.load.compose.validate import make
from bayplan.models import Container, Endpoint, Mount, Network, Port, Stack, TmpfsMount, Volume, labels
from bayplan.values import frozen

_log = logging.getLogger("bayplan.load")
_FIELDS = {"mounts": "volumes", "resources": "deploy", "name": "container_name"}
_DECLARED = ("networks", "volumes", "secrets", "configs")


@frozen
class Context:
    """What assembling needs besides the file. ``environment`` has ``.env`` under the shell's variables."""

    project: str
    directory: Path
    environment: Mapping[str, str]
    profiles: Sequence[str]
    sources: tuple[str, ...]
    kept: Mapping[str, Path]
    """``secrets`` and ``configs`` to the directories of the external ones."""


class Assembler:
    """Reads one merged file once."""

    def __init__(self, root: Node, context: Context) -> None:
        self.root, self.context, self.faults = root, context, Faults()
        self.faults.of(check_keys, root, built=keys.TOP_BUILT, known=keys.TOP_KNOWN)
        services = root.get("services")
        if services is None or not as_map(services):
            self.faults.tell()  # such as another spelling of it
            raise wrong(root, "declares no services")
        self.services = {key: node for key, node in as_map(services).items() if self._enabled(node)}
        if not self.services:
            _log.warning("%s: every service has profiles, and none is switched on: see --profile", services.at.file)
        self.declared = {name: as_map(found) if (found := root.get(name)) else {} for name in _DECLARED}
        counts = {key: self.faults.of(replicas, node) or 0 for key, node in self.services.items()}
        self.references = References(context.project, as_map(services), self.services, counts)
        self.links: Mapping[str, Any] = self.faults.of(aliases, self.services) or {}
        self.places = Places(context.directory, context.environment, context.kept)
        self.images = ImageReader(context.project, self.places, self.declared["secrets"])
        self.used: dict[str, dict[str, None]] = {"networks": {}, "volumes": {}}
        self.anonymous: list[str] = []

    def _enabled(self, node: Node) -> bool:
        as_map(node)
        self.faults.of(check_keys, node, built=keys.SERVICE_BUILT, known=keys.SERVICE_KNOWN)
        given = node.get("profiles")
        wanted = set(texts(given)) if given is not None else set()
        return not wanted or "*" in self.context.profiles or bool(wanted & set(self.context.profiles))

    def stack(self) -> Stack:
        """The stack. Raises DeclarationError, which has all that each part of the file is found to lack by itself."""
        containers = [one for key, node in self.services.items() for one in self._service(key, node)]
        project = self.context.project
        networks = [self.faults.of(self._network, key, project) for key in self.used["networks"]]
        volumes = [
            self.faults.of(read_volume, self.declared["volumes"][key], key, project) for key in self.used["volumes"]
        ]
        self.faults.tell()
        self.references.check_cycle()
        self.references.check_unique(containers)
        own = {labels.PROJECT: project, labels.MANAGED: "true"}
        volumes += [Volume(name=name, labels={**own, labels.ANONYMOUS: ""}) for name in self.anonymous]
        return Stack(
            name=project,
            images=tuple(self.images.found.values()),
            networks=tuple(filter(None, networks)),
            volumes=tuple(filter(None, volumes)),
            containers=tuple(containers),
            directory=str(self.context.directory),
            allowed=read_allowances(self.root),
            sources=self.context.sources,
        )

    def _network(self, key: str, project: str) -> Network:
        return read_network(self.declared["networks"].get(key, Node(None, self.root.at)), key, project)

    def _service(self, key: str, node: Node) -> list[Container]:
        """Its containers; none when something of it is wrong, of which as much is found as can be read alone."""
        count, given, of = self.references.counts[key], node.get("container_name"), self.faults.of
        begin = self.faults.count
        if given and count > 1:
            hint = "remove container_name or the replicas"
            self.faults.add(wrong(given, f"{count} replicas cannot have one name", hint=hint))
        where, values = self.context.directory, self.context.environment
        common: dict[str, Any] = of(simple, node, where) or {}
        common |= {
            "service": key,
            "image": of(self.images.read, node, key),
            "environment": of(environment, node, where, values),
            "restart": of(restart, node),
            "resources": of(resources, node),
            "depends_on": of(self.references.dependencies, node),
            "update_config": of(update_config, node),
        }
        mode = of(self.references.network_mode, node)
        common["ports"] = of(self._ports, node, mode)
        for name in ("pid", "ipc"):
            if node.get(name):
                common[name] = of(self.references.shared, node, name)
        for name in ("secrets", "configs"):
            if given := node.get(name):
                common[name] = of(read_grants, given, name, self.declared[name], self.places)
        if attach := node.get("attach"):
            of(as_flag, attach)  # for whoever follows the logs; nothing of the container
        own = {labels.PROJECT: self.context.project, labels.SERVICE: key, labels.MANAGED: "true"}
        common["labels"] = {
            **(of(label_files, node, where) or {}),
            **(of(text_map, node.get("labels")) or {}),
            **own,
        }
        return self._replicas(key, node, common, mode, begin) if count else []

    def _ports(self, node: Node, mode: str | None) -> tuple[Port, ...]:
        ports = node.get("ports")
        published = read_ports(ports) if ports else ()
        if mode and (mac := node.get("mac_address")):
            raise wrong(mac, "needs a network of its own, not network_mode")
        if mode == "host":
            if ports:
                _log.warning("%s: %s: published ports mean nothing with network_mode host", ports.at, ports.path)
            return ()
        return published if mode else bound(published, node, self.declared["networks"])

    def _replicas(
        self, key: str, node: Node, common: Mapping[str, Any], mode: str | None, begin: int
    ) -> list[Container]:
        """The containers of a service: the first is read and checked, the others differ from it by their names.

        None when a fault of it is found, after the ``begin`` that others have.
        """
        found: list[Container] = []
        of = self.faults.of
        for number in range(1, self.references.counts[key] + 1):
            name, own = self.references.name(key, number), {labels.NUMBER: str(number)}
            values: dict[str, Any] = {"name": name, "labels": {**common["labels"], **own}}
            if not found or self.anonymous:
                values["mounts"] = of(self._mounts, node, name)
                values["volumes_from"] = of(self._outside, node)
            if mode is None:
                values["networks"] = of(self._endpoints, node, key, name)
            if self.faults.count > begin:
                return []
            if found:
                found.append(found[0].model_copy(update=values))
                continue
            values |= {"network_mode": mode} if mode else {}
            made = of(make, Container, node, {**common, **values}, _FIELDS)
            if made is None:
                return []
            found.append(made)
        return found

    def _endpoints(self, node: Node, key: str, name: str) -> tuple[Endpoint, ...]:
        project, declared = self.context.project, self.declared["networks"]
        found = endpoints(node, (key, name), declared, project, self.links.get(key, {}))
        self.used["networks"] |= dict.fromkeys(wanted(node))
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

    def _outside(self, node: Node) -> tuple[str, ...]:
        """``volumes_from: container:NAME[:ro]``, of containers that the file does not declare."""
        given = node.get("volumes_from")
        found = [(item, as_text(item)) for item in (as_list(given) if given else ())]
        names = [(item, text.removeprefix("container:")) for item, text in found if text.startswith("container:")]
        for item, text in names:
            name, _, mode = text.partition(":")
            if not name or mode not in ("", "ro", "rw"):
                raise wrong(item, f"{text!r} is not NAME, NAME:ro or NAME:rw")
        return tuple(text for _, text in names)

    def _others_mounts(self, node: Node, reader: MountReader) -> list[Mount]:
        """``volumes_from``: the volumes and binds of other services' first containers."""
        found: list[Mount] = []
        if given := node.get("volumes_from"):
            for item in as_list(given):
                name, _, mode = as_text(item).partition(":")
                if name == "container":
                    continue  # one of the host, which a plan looks at
                if mode not in ("", "ro", "rw"):
                    raise wrong(item, f"unknown mode {mode!r}", hint="ro or rw")
                self.references.check(item, name)
                other = replace(reader, container=self.references.name(name, 1), anonymous=[])
                mounts = [one for one in other.read(self.services[name]) if not isinstance(one, TmpfsMount)]
                found += [one.model_copy(update={"read_only": True}) if mode == "ro" else one for one in mounts]
        return found


def assemble(root: Node, context: Context) -> Stack:
    """The stack that a merged, interpolated file declares. Raises DeclarationError."""
    if not isinstance(root.value, dict):
        raise DeclarationError("a Compose file must be a map with the key services", where=root.at)
    return Assembler(root, context).stack()
