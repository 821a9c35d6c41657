"""YAML text to nodes: from parser events, so that depth, aliases and duplicate keys are bounded here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from bayplan.errors import DeclarationError, Location
from bayplan.load.compose.nodes import Node, Scalar

MAX_NODES = 100_000
"""Most values in one file with aliases expanded (compose-go's bound against "billion laughs")."""
MAX_DEPTH = 100
MAX_DIGITS = 100

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*)$")
_OLD_INT = re.compile(r"([-+]?)(0x_*[0-9a-fA-F][0-9a-fA-F_]*|0o?_*[0-7][0-7_]*|0b_*[01][01_]*)$")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_CORE = "tag:yaml.org,2002:"


def parse(text: str, label: str) -> list[Node]:
    """The documents of a YAML text. Raises DeclarationError with the line for any fault."""
    builder = _Builder(label)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        at = Location(label, mark.line + 1, mark.column + 1) if mark else Location(label)
        raise DeclarationError(f"not valid YAML: {what}", where=at, hint="check indentation and quotes") from error
    except yaml.YAMLError as error:
        raise DeclarationError(f"not valid YAML: {error}", where=Location(label)) from error
    return builder.documents


@dataclass
class _Open:
    """A list or map whose end was not seen yet."""

    at: Location
    anchor: str | None
    tag: str
    is_map: bool
    items: list[Node] = field(default_factory=list)


@dataclass
class _Builder:
    """Takes parser events, gives documents."""

    label: str
    documents: list[Node] = field(default_factory=list)
    stack: list[_Open] = field(default_factory=list)
    anchors: dict[str, Node | None] = field(default_factory=dict)
    total: int = 0

    def take(self, event: Any) -> None:
        at = Location(self.label, event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, yaml.DocumentStartEvent):
            self.anchors = {}
        elif isinstance(event, yaml.AliasEvent):
            self.add(self.alias(str(event.anchor), at), None)
        elif isinstance(event, yaml.ScalarEvent):
            tag = _tag(event.tag, at)
            self.add(Node(_scalar(event, tag, at), at, tag=tag if tag in ("reset", "override") else ""), event.anchor)
        elif isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
            if len(self.stack) >= MAX_DEPTH:
                raise DeclarationError(f"nested deeper than {MAX_DEPTH} levels", where=at)
            if event.anchor:
                self.anchors[event.anchor] = None
            is_map = isinstance(event, yaml.MappingStartEvent)
            self.stack.append(_Open(at, event.anchor, _tag(event.tag, at), is_map))
        elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            done = self.stack.pop()
            tag = done.tag if done.tag in ("reset", "override") else ""
            self.add(_map(done, tag) if done.is_map else _list(done, tag), done.anchor)

    def alias(self, anchor: str, at: Location) -> Node:
        node = self.anchors.get(anchor)
        if node is None:
            fault = "contains itself" if anchor in self.anchors else "is not defined above"
            raise DeclarationError(f"alias *{anchor} {fault}", where=at)
        self.count(node.size, at)
        return node

    def count(self, size: int, at: Location) -> None:
        self.total += size
        if self.total > MAX_NODES:
            raise DeclarationError(f"more than {MAX_NODES} values with aliases expanded", where=at)

    def add(self, node: Node, anchor: str | None) -> None:
        if not isinstance(node.value, (list, dict)):
            self.count(1, node.at)
        if anchor:
            self.anchors[anchor] = node
        if self.stack:
            self.stack[-1].items.append(node)
        else:
            self.documents.append(node)


def _list(done: _Open, tag: str) -> Node:
    return Node(done.items, done.at, tag=tag, size=1 + sum(item.size for item in done.items))


def _map(done: _Open, tag: str) -> Node:
    entries: dict[str, Node] = {}
    keys: dict[str, Location] = {}
    merged: list[Node] = []
    for key_node, value in zip(done.items[::2], done.items[1::2], strict=True):
        if isinstance(key_node.value, (list, dict)):
            raise DeclarationError("a key must be a plain word", where=key_node.at)
        key = "null" if key_node.value is None else str(key_node.value)
        if isinstance(key_node.value, bool):
            key = key.lower()
        if key == "<<":
            merged += value.value if isinstance(value.value, list) else [value]
            continue
        if key in entries:
            raise DeclarationError(f"key {key!r} is given twice; first in line {keys[key].line}", where=key_node.at)
        entries[key], keys[key] = value, key_node.at
    for source in merged:
        if not isinstance(source.value, dict):
            raise DeclarationError("<<: takes a map or a list of maps", where=source.at)
        for key, value in source.value.items():
            if key not in entries:
                entries[key], keys[key] = value, source.keys[key]
    return Node(entries, done.at, tag=tag, size=1 + sum(item.size for item in entries.values()), keys=keys)


def _tag(tag: str | None, at: Location) -> str:
    if tag is None or tag == "!":
        return ""
    name = tag.removeprefix(_CORE).removeprefix("!")
    if name not in ("reset", "override", "str", "int", "float", "bool", "null", "map", "seq"):
        raise DeclarationError(f"unknown YAML tag {tag!r}", where=at, hint="Compose knows !reset and !override")
    return name


def _scalar(event: Any, tag: str, at: Location) -> Scalar:
    text = str(event.value)
    if "\x00" in text:
        raise DeclarationError("a value cannot hold a NUL character", where=at)
    if tag == "str" or (event.style not in (None, "") and tag in ("", "reset", "override")):
        return text
    if len(text) > MAX_DIGITS and _INT.match(text):
        raise DeclarationError("a number is too long", where=at)
    value = resolve(text)
    wanted: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,)}
    if tag in wanted and not isinstance(value, wanted[tag]):
        raise DeclarationError(f"{text!r} is not of YAML type !!{tag}", where=at)
    return value


def resolve(text: str) -> Scalar:
    """The value of a plain (unquoted) scalar."""
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE"):
        return True
    if text in ("false", "False", "FALSE"):
        return False
    if _INT.match(text):
        return int(text.replace("_", ""))
    old = _OLD_INT.match(text)
    if old:
        digits = old[2].replace("_", "").lower()
        octal = digits[1:2] not in ("x", "b", "o")
        return int(old[1] + (f"0o{digits}" if octal else digits), 0)
    return float(text.replace("_", "")) if _FLOAT.match(text) else text


def place(node: Node, path: str = "") -> Node:
    """The same tree with every node's dotted path filled in."""
    value = node.value
    if isinstance(value, dict):
        value = {key: place(item, f"{path}.{key}" if path else key) for key, item in value.items()}
    elif isinstance(value, list):
        value = [place(item, f"{path}[{number}]") for number, item in enumerate(value)]
    return replace(node, value=value, path=path)
