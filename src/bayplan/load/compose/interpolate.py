"""``${NAME:-default}`` and its kin (Compose specification, "Interpolation")."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bayplan.load.compose.faults import Faults
from bayplan.load.compose.nodes import Node, wrong

_NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_OPERATOR = re.compile(r":-|:\?|:\+|-|\?|\+")
_log = logging.getLogger("bayplan.load")

Lookup = Callable[[str], str | None]


class TemplateError(ValueError):
    """A text with a malformed ``${``, or a required variable that is missing."""


@dataclass
class Variables:
    """Values for interpolation. An unset variable without a default reads as empty, with one warning each."""

    values: Mapping[str, str]
    missing: set[str] = field(default_factory=set)

    def lookup(self, name: str) -> str | None:
        """The variable's value, None when unset."""
        return self.values.get(name)

    def unset(self, name: str) -> None:
        """Warn once that an unset variable was read."""
        if name not in self.missing:
            self.missing.add(name)
            _log.warning("the variable %s is not set; an empty string is used", name)


def substitute(text: str, lookup: Lookup, unset: Callable[[str], None] = lambda name: None) -> str:
    """The text with its variables replaced; ``$$`` gives ``$``. Raises TemplateError."""
    out: list[str] = []
    position = 0
    while (dollar := text.find("$", position)) >= 0:
        out.append(text[position:dollar])
        following = text[dollar + 1 : dollar + 2]
        name = _NAME.match(text, dollar + 1)
        if following == "$":
            out.append("$")
            position = dollar + 2
        elif following == "{":
            end = _closing(text, dollar + 2)
            out.append(_braced(text[dollar + 2 : end], lookup, unset))
            position = end + 1
        elif name:
            out.append(_plain(name[0], lookup, unset))
            position = name.end()
        else:
            out.append("$")
            position = dollar + 1
    return "".join(out) + text[position:]


def _closing(text: str, start: int) -> int:
    depth = 0
    position = start
    while position < len(text):
        if text.startswith("${", position):
            depth += 1
            position += 1
        elif text[position] == "}":
            if depth == 0:
                return position
            depth -= 1
        position += 1
    raise TemplateError(f"no closing brace in {text[start - 2 :]!r}; write $$ for a plain dollar sign")


def _plain(name: str, lookup: Lookup, unset: Callable[[str], None]) -> str:
    value = lookup(name)
    if value is None:
        unset(name)
    return value or ""


def _braced(inner: str, lookup: Lookup, unset: Callable[[str], None]) -> str:
    name = _NAME.match(inner)
    if not name:
        raise TemplateError(f"'${{{inner}}}' names no variable; write $$ for a plain dollar sign")
    if name.end() == len(inner):
        return _plain(name[0], lookup, unset)
    operator = _OPERATOR.match(inner, name.end())
    if not operator:
        raise TemplateError(f"'${{{inner}}}' is malformed after {name[0]}; write $$ for a plain dollar sign")
    rest = inner[operator.end() :]
    value = lookup(name[0])
    present = bool(value) if operator[0].startswith(":") else value is not None
    if operator[0].endswith("+"):
        return substitute(rest, lookup, unset) if present else ""
    if present:
        return value or ""
    if operator[0].endswith("-"):
        return substitute(rest, lookup, unset)
    reason = substitute(rest, lookup, unset)
    raise TemplateError(f"required variable {name[0]} is missing a value" + (f": {reason}" if reason else ""))


def interpolate(node: Node, variables: Variables) -> Node:
    """The same tree with every string value substituted; keys stay. Raises DeclarationError with the line."""
    faults = Faults()
    found = _interpolated(node, variables, faults)
    faults.tell()
    return found


def _interpolated(node: Node, variables: Variables, faults: Faults) -> Node:
    value = node.value
    if isinstance(value, dict):
        return node.with_value({key: _interpolated(item, variables, faults) for key, item in value.items()})
    if isinstance(value, list):
        return node.with_value([_interpolated(item, variables, faults) for item in value])
    if not isinstance(value, str) or "$" not in value:
        return node
    try:
        return node.with_value(substitute(value, variables.lookup, variables.unset))
    except TemplateError as error:
        faults.add(wrong(node, str(error)))
    except RecursionError:
        faults.add(wrong(node, "variables are nested too deeply"))
    return node
