"""YAML values that remember where they stand, and the typed readings of them.

YAML 1.1's eager types are wrong for Compose files (``22:22`` is a port, ``no`` a word), so scalars are resolved by the
core schema of YAML 1.2, with the older integer spellings that Compose still takes (``012`` is ten, ``1_000``).
"""

from __future__ import annotations

import difflib
import logging
import math
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from bayplan.errors import DeclarationError, Location, NotBuiltYetError
from bayplan.load.compose.faults import Faults

_log = logging.getLogger("bayplan.load")
Scalar = str | int | float | bool | None
_TRUE = frozenset({"true", "yes", "on", "y", "1", "t"})
_FALSE = frozenset({"false", "no", "off", "n", "0", "f"})
_INTEGER = re.compile(r"[-+]?\d+$")


@dataclass(frozen=True)
class Node:
    """One value of a file: a scalar, a list or a map of nodes.

    ``path`` is its dotted place (``services.web.ports[0]``), ``tag`` is ``reset``, ``override`` or empty, ``size`` the
    number of values in it with every alias counted, ``keys`` the places of a map's keys.
    """

    value: Scalar | list[Node] | dict[str, Node]
    at: Location
    path: str = ""
    tag: str = ""
    size: int = 1
    keys: Mapping[str, Location] = field(default_factory=dict)

    @property
    def is_null(self) -> bool:
        """Whether it is YAML's null."""
        return self.value is None

    def get(self, key: str) -> Node | None:
        """The value under a key of a map; None when the key is absent or its value is null."""
        found = self.value.get(key) if isinstance(self.value, dict) else None
        return None if found is None or found.is_null else found

    def with_value(self, value: Scalar | list[Node] | dict[str, Node]) -> Node:
        """The same place with another value."""
        return replace(self, value=value)


def wrong(node: Node, what: str, *, hint: str = "") -> DeclarationError:
    """A DeclarationError at the node, its message led by the node's path."""
    return DeclarationError(f"{node.path}: {what}" if node.path else what, where=node.at, hint=hint)


def not_built(node: Node, what: str = "") -> NotBuiltYetError:
    """A NotBuiltYetError at the node."""
    return NotBuiltYetError(
        f"{node.path}: {what or 'known to Compose, but not built yet'}", where=node.at, hint="remove it"
    )


def kind_of(node: Node) -> str:
    """What a user calls this type of value."""
    names = {dict: "a map", list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(node.value), "nothing")


def as_map(node: Node) -> dict[str, Node]:
    """The entries of a map, ``x-`` extensions left out. Raises DeclarationError for anything else."""
    if not isinstance(node.value, dict):
        raise wrong(node, f"must be a map, not {kind_of(node)}")
    return {key: value for key, value in node.value.items() if not key.startswith("x-")}


def as_list(node: Node) -> list[Node]:
    """The items of a list. Raises DeclarationError for anything else."""
    if not isinstance(node.value, list):
        raise wrong(node, f"must be a list, not {kind_of(node)}")
    return node.value


def as_text(node: Node) -> str:
    """A scalar as text: ``1.0`` is "1", ``true`` is "true". Raises DeclarationError for lists, maps and null."""
    value = node.value
    if isinstance(value, (list, dict)) or value is None:
        raise wrong(node, f"must be a string, not {kind_of(node)}")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return str(value)


def as_flag(node: Node) -> bool:
    """A boolean, also as the words that interpolation may give. Raises DeclarationError."""
    text = as_text(node).lower()
    if isinstance(node.value, (bool, str)) and text in _TRUE | _FALSE:
        return text in _TRUE
    raise wrong(node, f"must be true or false, not {node.value!r}")


def as_integer(node: Node) -> int:
    """An integer, also as digits in a string. Raises DeclarationError."""
    text = as_text(node)
    if isinstance(node.value, bool) or not _INTEGER.match(text):
        raise wrong(node, f"must be a whole number, not {text!r}")
    return int(text)


def as_number(node: Node) -> float:
    """A number, also as a string. Raises DeclarationError."""
    text = as_text(node)
    try:
        number = float(text)
    except ValueError as error:
        raise wrong(node, f"must be a number, not {text!r}") from error
    if not math.isfinite(number):
        raise wrong(node, f"must be a number, not {text!r}")
    return number


def texts(node: Node) -> tuple[str, ...]:
    """A list of scalars as texts. Raises DeclarationError."""
    return tuple(as_text(item) for item in as_list(node))


def text_or_texts(node: Node) -> tuple[str, ...]:
    """One scalar or a list of them. Raises DeclarationError."""
    return texts(node) if isinstance(node.value, list) else (as_text(node),)


def words(node: Node) -> tuple[str, ...]:
    """A command: a string is split as shell words (no shell runs it), a list is taken as it is."""
    if isinstance(node.value, list):
        return texts(node)
    try:
        return tuple(shlex.split(as_text(node)))
    except ValueError as error:
        raise wrong(node, f"cannot be split into words: {error}") from error


def pairs(node: Node) -> Iterator[tuple[str, str | None, Node]]:
    """Entries of ``{K: v}`` or ``[K=v, K]`` as key, value (None: not given) and place. Raises DeclarationError."""
    if isinstance(node.value, list):
        for item in node.value:
            key, equals, value = as_text(item).partition("=")
            if not key:
                raise wrong(item, f"must be NAME=value, not {as_text(item)!r}")
            yield key, value if equals else None, item
        return
    if not isinstance(node.value, dict):
        raise wrong(node, f"must be a map or a list of NAME=value, not {kind_of(node)}")
    for key, child in node.value.items():
        yield key, None if child.is_null else as_text(child), child


def text_map(node: Node | None) -> dict[str, str]:
    """``{K: v}`` or ``[K=v]`` with missing values as empty texts; None gives an empty map."""
    return {} if node is None else {key: value or "" for key, value, _ in pairs(node)}


def ignored(node: Node, keys: Iterable[str], why: str) -> None:
    """Warn of those keys that the map has: they are read by others."""
    for key in sorted(set(keys) & as_map(node).keys()):
        _log.warning("%s: %s.%s is ignored: %s", node.keys.get(key, node.at), node.path, key, why)


def check_keys(node: Node, *, built: Iterable[str], known: Iterable[str] = ()) -> None:
    """Refuse keys that are not built (NotBuiltYetError) or unknown (DeclarationError, with the nearest name).

    A mapping ``known`` gives the reasons why keys will not be built.
    """
    reasons: Mapping[str, str] = known if isinstance(known, Mapping) else {}
    built, known, faults = frozenset(built), frozenset(known), Faults()
    for key, child in as_map(node).items():
        if key in built:
            continue
        at = node.keys.get(key, child.at)
        path = f"{node.path}.{key}" if node.path else key
        if key in known:
            place = replace(child, at=at, path=path)
            faults.add(wrong(place, reasons[key], hint="remove it") if reasons.get(key) else not_built(place))
            continue
        near = difflib.get_close_matches(key, sorted(built | known), n=1)
        hint = f"did you mean {near[0]!r}?" if near else ""
        faults.add(wrong(replace(child, at=at, path=node.path), f"unknown key {key!r}", hint=hint))
    faults.tell()
