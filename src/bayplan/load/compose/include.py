"""``include``: whole other files with their own directory and variables, under what this file says itself."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from pathlib import Path

from bayplan.load.compose import dotenv, keys
from bayplan.load.compose.anchor import anchored
from bayplan.load.compose.extends import extended
from bayplan.load.compose.interpolate import Variables, interpolate
from bayplan.load.compose.merge import merge, settle
from bayplan.load.compose.nodes import Node, as_list, as_text, check_keys, text_or_texts, wrong
from bayplan.load.compose.paths import below
from bayplan.load.compose.texts import documents
from bayplan.system.probes import probe
from bayplan.values import frozen

_MAX_FILES = 1000
_MAX_DEPTH = 50
_TAKEN = ("services", "networks", "volumes", "secrets", "configs")


@frozen
class Reader:
    """Reads files below one directory with one set of variables; ``way`` names the files that led here."""

    directory: Path
    variables: Variables
    way: tuple[Path, ...] = ()
    count: Iterator[int] = field(default_factory=itertools.count)
    """Of the files that were read: a few that include each other twice would be read without end."""

    def whole(self, document: Node) -> Node:
        """A document with its variables replaced, its includes and its ``extends`` done. Raises DeclarationError."""
        root = interpolate(document, self.variables)
        wanted = root.get("include")
        if wanted is not None and isinstance(root.value, dict):
            root = replace(root, value={key: item for key, item in root.value.items() if key != "include"})
            root = merge(self._included(wanted), root)
        return extended(root, self.directory, self.variables)

    def _included(self, wanted: Node) -> Node:
        """All that is included, as one file. Raises DeclarationError where two differ over a name."""
        taken: dict[str, dict[str, Node]] = {kind: {} for kind in _TAKEN}
        for item in as_list(wanted):
            other = self._one(item)
            for kind in _TAKEN:
                section = other.get(kind)
                entries = section.value if section and isinstance(section.value, dict) else {}
                for name, node in entries.items():
                    known = taken[kind].setdefault(name, node)
                    if not _same(known, node):
                        what = f"{kind}.{name} is also declared in {known.at}, and differs"
                        raise wrong(node, what, hint="rename one of them, or include one over the other: path: [A, B]")
        sections = {kind: wanted.with_value(dict(entries)) for kind, entries in taken.items() if entries}
        return replace(wanted, value=sections, path="")

    def _one(self, item: Node) -> Node:
        path, folder, env = item, None, None
        if isinstance(item.value, dict):
            check_keys(item, built={"path", "project_directory", "env_file"})
            found, folder, env = item.get("path"), item.get("project_directory"), item.get("env_file")
            if found is None:
                raise wrong(item, "names no path")
            path = found
        files = [below(self.directory, text, path) for text in text_or_texts(path)]
        if not files:
            raise wrong(path, "names no path")
        directory = below(self.directory, as_text(folder), folder) if folder else files[0].parent
        variables = self._variables(env, directory)
        root: Node | None = None
        for file in files:
            real = file.resolve()
            if real in self.way:
                circle = " -> ".join(one.name for one in (*self.way[self.way.index(real) :], real))
                raise wrong(path, f"files include each other in a circle: {circle}", hint="remove one")
            if len(self.way) >= _MAX_DEPTH or next(self.count) >= _MAX_FILES:
                raise wrong(path, f"more than {_MAX_FILES} files, or {_MAX_DEPTH} in each other, are included")
            reader = Reader(directory, variables, (*self.way, real), self.count)
            for document in documents(file, path):
                one = reader.whole(document)
                root = settle(one) if root is None else merge(root, one)
        if root is None:
            raise wrong(path, f"file {str(files[0])!r} is empty")
        check_keys(root, built=keys.TOP_BUILT, known=keys.TOP_KNOWN)
        return anchored(root, directory)

    def _variables(self, given: Node | None, directory: Path) -> Variables:
        """Those of the including file go before those of the included one's ``.env``."""
        default = directory / ".env"
        files = [below(self.directory, text, given) for text in text_or_texts(given)] if given else []
        if given is None and probe(default).is_file():
            files = [default]
        outer: Mapping[str, str] = self.variables.values
        found: dict[str, str] = {}
        for file in files:
            if given is not None and not probe(file).exists():
                raise wrong(given, f"env file {str(file)!r} does not exist")
            found |= dotenv.read(file, {**found, **outer})
        return Variables({**found, **outer}, self.variables.missing)


def _same(one: Node, other: Node) -> bool:
    """Whether two values are equal, wherever they stand."""
    return one is other or _plain(one) == _plain(other)


def _plain(node: Node) -> object:
    if isinstance(node.value, dict):
        return {key: _plain(item) for key, item in node.value.items()}
    if isinstance(node.value, list):
        return [_plain(item) for item in node.value]
    return node.value
