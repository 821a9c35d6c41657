"""A merged Compose file to the stack of a swarm: final names, and the references between parts checked."""

from __future__ import annotations

import logging
from typing import Any

from bayplan.errors import DeclarationError
from bayplan.load.compose import keys as compose_keys
from bayplan.load.compose.allowances import read_allowances
from bayplan.load.compose.assemble import Context
from bayplan.load.compose.environment import environment, label_files
from bayplan.load.compose.faults import Faults
from bayplan.load.compose.grants import Places, grant_values
from bayplan.load.compose.images import ImageReader
from bayplan.load.compose.mounts import MountReader
from bayplan.load.compose.nodes import Node, as_list, as_map, check_keys, text_map, texts, wrong
from bayplan.load.compose.resources import final_name
from bayplan.load.compose.service import simple
from bayplan.load.compose.swarm import keys
from bayplan.load.compose.swarm.deploy import deploy
from bayplan.load.compose.swarm.resources import read_kept, read_overlay
from bayplan.load.compose.swarm.service import Names, dependencies, log_driver, mounts, networks, ports
from bayplan.load.compose.validate import make
from bayplan.models import FileGrant, labels
from bayplan.models.swarm import Config, Secret, Service, SwarmStack

_log = logging.getLogger("bayplan.load")
_DECLARED = ("networks", "volumes", "secrets", "configs")
_OF_DEPLOY = ("endpoint_mode", "limits", "mode", "placement", "replicas", "update")
_FIELDS = {"mounts": "volumes", "name": "", **dict.fromkeys(_OF_DEPLOY, "deploy")}


def assemble(root: Node, context: Context) -> SwarmStack:
    """The stack that a merged, interpolated file declares for a swarm. Raises DeclarationError."""
    if not isinstance(root.value, dict):
        raise DeclarationError("a Compose file must be a map with the key services", where=root.at)
    return _Assembler(root, context).stack()


class _Assembler:
    def __init__(self, root: Node, context: Context) -> None:
        self.root, self.context = root, context
        check_keys(root, built=compose_keys.TOP_BUILT, known=compose_keys.TOP_KNOWN)
        services = root.get("services")
        if services is None or not as_map(services):
            raise wrong(root, "declares no services")
        self.services = {key: node for key, node in as_map(services).items() if self._enabled(node)}
        self.declared = {name: as_map(found) if (found := root.get(name)) else {} for name in _DECLARED}
        self.places = Places(context.directory, context.environment, context.kept)
        self.images = ImageReader(context.project, self.places)
        self.names = Names(context.project, self.declared["networks"], self.declared["volumes"])
        self.used: dict[str, dict[str, None]] = {name: {} for name in _DECLARED}

    def _enabled(self, node: Node) -> bool:
        wanted = node.get("profiles") if isinstance(node.value, dict) else None
        return not wanted or "*" in self.context.profiles or bool(set(texts(wanted)) & set(self.context.profiles))

    def stack(self) -> SwarmStack:
        """The stack. Raises DeclarationError, with a fault of each service."""
        faults = Faults()
        services = tuple(filter(None, (faults.of(self._service, key, node) for key, node in self.services.items())))
        faults.tell()
        project, declared = self.context.project, self.declared
        names = {final_name(declared["networks"].get(key), key, project): key for key in self._network_keys()}
        overlays = [
            read_overlay(declared["networks"].get(key, Node(None, self.root.at)), key, project)
            for name, key in names.items()
            if name in self.used["networks"]
        ]
        kept = {name: {key: declared[name][key] for key in self.used[name]} for name in ("secrets", "configs")}
        return SwarmStack(
            name=project,
            images=tuple(self.images.found.values()),
            overlays=tuple(overlays),
            secrets=tuple(read_kept(Secret, "secrets", kept["secrets"], project, self.places).values()),
            configs=tuple(read_kept(Config, "configs", kept["configs"], project, self.places).values()),
            services=services,
            directory=str(self.context.directory),
            allowed=read_allowances(self.root),
            sources=self.context.sources,
        )

    def _network_keys(self) -> dict[str, None]:
        return dict.fromkeys(["default", *self.declared["networks"]])

    def _service(self, key: str, node: Node) -> Service:
        check_keys(node, built=keys.SERVICE_READ | keys.ASIDE.keys(), known=keys.REFUSED)
        for name, why in keys.ASIDE.items():
            if (found := node.get(name)) and why:
                _log.warning("%s: %s is ignored: %s", node.keys.get(name, found.at), found.path, why)
        project, directory = self.context.project, self.context.directory
        if (build := node.get("build")) and not node.get("image"):
            raise wrong(build, "nodes cannot pull what has no name", hint="build it, push it, and name it with image")
        own = ("build", "logging", "develop", "expose", "gpus", "devices")
        plain = {name: child for name, child in as_map(node).items() if name not in own}
        values = simple(node.with_value(plain), directory)
        values.pop("cdi_devices", None)
        values |= deploy(node)
        values |= {
            "name": f"{project}_{key}",
            "service": key,
            "image": self.images.read(node.with_value({n: c for n, c in as_map(node).items() if n != "build"}), key),
            "environment": environment(node, directory, self.context.environment),
            "container_labels": {
                **label_files(node, directory),
                **text_map(node.get("labels")),
                labels.STACK: project,
            },
            "networks": networks(node, key, self.names),
            "ports": ports(node.get("ports")),
            "mounts": mounts(node, self._reader(key), self.names),
        }
        self.used["networks"] |= dict.fromkeys(one.network for one in values["networks"])
        if given := node.get("logging"):
            values["logging"] = log_driver(given)
        if given := node.get("depends_on"):
            values["depends_on"] = dependencies(given, tuple(self.services))
        values |= {kind: self._grants(given, kind) for kind in ("secrets", "configs") if (given := node.get(kind))}
        return make(Service, node, values, _FIELDS)

    def _reader(self, key: str) -> MountReader:
        volumes = self.declared["volumes"]
        names = {name: final_name(one, name, self.context.project) for name, one in volumes.items()}
        return MountReader(self.context.directory, self.context.environment.get("HOME", "/"), names, key)

    def _grants(self, node: Node, kind: str) -> tuple[FileGrant, ...]:
        """By the names of what the stack declares; those of their versions are known when the plan is made."""
        found: dict[str, Any] = {}
        for item in as_list(node):
            values = grant_values(item, kind, self.declared[kind])
            key = values["source"]
            self.used[kind][key] = None
            values["source"] = final_name(self.declared[kind][key], key, self.context.project)
            grant = make(FileGrant, item, values)
            found[grant.target] = grant
        return tuple(found.values())
