"""``extends``: a service begins as another one of this file, or of another file, and changes that.

Each file's own are resolved before it is merged over others, as compose-go does: what it extends stands in that file.
"""

from __future__ import annotations

import os
from dataclasses import field, replace
from pathlib import Path

from bayplan.load.compose.anchor import anchored
from bayplan.load.compose.interpolate import Variables
from bayplan.load.compose.merge import merge, settle
from bayplan.load.compose.nodes import Node, as_text, check_keys, wrong
from bayplan.load.compose.paths import below
from bayplan.load.compose.texts import read
from bayplan.values import frozen

_REMOTE = ("http://", "https://", "git@", "ssh://", "git://", "oci://", "github.com/")
_MAX_DEPTH = 100
Step = tuple[str, str]
"""A file and one of its services."""


def extended(root: Node, directory: Path, variables: Variables) -> Node:
    """The interpolated file with every ``extends`` done. Raises DeclarationError."""
    return _File(root, directory, variables).resolved()


@frozen
class _File:
    """One file; its relative paths, those to other files too, are below ``directory``."""

    root: Node
    directory: Path
    variables: Variables
    done: dict[str, Node] = field(default_factory=dict)
    """Services that are whole: many may extend one."""
    others: dict[Path, _File] = field(default_factory=dict)
    """Files that were read, each once."""

    def resolved(self) -> Node:
        services = self.root.get("services")
        if services is None or not isinstance(services.value, dict):
            return self.root
        if not any(isinstance(one.value, dict) and "extends" in one.value for one in services.value.values()):
            return self.root
        found = {name: self.service(name, one, ()) for name, one in services.value.items()}
        top = self.root.value
        assert isinstance(top, dict)
        return replace(self.root, value={**top, "services": replace(services, value=found)})

    def service(self, name: str, node: Node, way: tuple[Step, ...]) -> Node:
        """The service over what it extends; ``way`` leads here."""
        wanted = node.get("extends")
        if wanted is None or not isinstance(node.value, dict):
            return node
        step = (str(self.root.at.file), name)
        if step in way:
            circle = " -> ".join(f"{service} ({Path(file).name})" for file, service in (*way[way.index(step) :], step))
            raise wrong(wanted, f"services extend each other in a circle: {circle}", hint="remove one")
        if len(way) >= _MAX_DEPTH:
            raise wrong(wanted, f"more than {_MAX_DEPTH} services extend each other")
        if name in self.done:
            return self.done[name]
        base = self._base(wanted, (*way, step))
        mine = replace(node, value={key: item for key, item in node.value.items() if key != "extends"})
        found = self.done[name] = merge(settle(base), mine)
        return found

    def _base(self, wanted: Node, way: tuple[Step, ...]) -> Node:
        """The service that is extended, with all that it extends itself."""
        file, service = None, wanted
        if isinstance(wanted.value, dict):
            check_keys(wanted, built={"file", "service"})
            file, named = wanted.get("file"), wanted.get("service")
            if named is None:
                raise wrong(wanted, "names no service")
            service = named
        name, other = as_text(service), self if file is None else self._other(file)
        services = other.root.get("services")
        base = services.value.get(name) if services and isinstance(services.value, dict) else None
        if base is None:
            raise wrong(service, f"service {name!r} is not declared in {other.root.at.file}")
        return other.service(name, base, way)

    def _other(self, file: Node) -> _File:
        text = as_text(file)
        if text.startswith(_REMOTE):
            raise wrong(file, f"{text!r} is on another host: only files of this one are read", hint="fetch it first")
        path = Path(os.path.normpath(below(self.directory, text, file)))
        if path not in self.others:
            other = read((path,), self.variables, file)
            self.others[path] = _File(anchored(other, path.parent), path.parent, self.variables, {}, self.others)
        return self.others[path]
