"""Secrets and configs: declared at the top, given to services as files."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretBytes

from bayplan.load.compose.nodes import Node, as_flag, as_integer, as_list, as_text, check_keys, not_built, wrong
from bayplan.load.compose.validate import make
from bayplan.models import BuildSecret, FileGrant

_log = logging.getLogger("bayplan.load")
_SOURCES = ("file", "environment", "content")


def read_grants(
    node: Node, kind: str, declared: Mapping[str, Node], directory: Path, environment: Mapping[str, str]
) -> tuple[FileGrant, ...]:
    """``secrets`` or ``configs`` (``kind``) of a service, with their content. Raises DeclarationError."""
    found: dict[str, FileGrant] = {}
    for item in as_list(node):
        long = isinstance(item.value, dict)
        if long:
            check_keys(item, built={"source", "target", "uid", "gid", "mode"})
        source = item.get("source") if long else item
        if source is None:
            raise wrong(item, "names no source")
        name = as_text(source)
        if name not in declared:
            raise wrong(source, f"{name!r} is not declared", hint=f"add it under the top-level {kind}")
        values: dict[str, Any] = {"source": name, "content": _content(declared[name], kind, directory, environment)}
        if file := declared[name].get("file"):
            values["file"] = os.path.normpath(directory.absolute() / Path(as_text(file)).expanduser())
        target = as_text(given) if long and (given := item.get("target")) else name
        values["target"] = target if target.startswith("/") else f"{_top(kind)}/{target}"
        for key in ("uid", "gid"):
            if long and (number := item.get(key)):
                values[key] = as_integer(number)
        if long and (mode := item.get("mode")):
            values["mode"] = _mode(mode)
        grant = make(FileGrant, item, values)
        found[grant.target] = grant
    return tuple(found.values())


def read_build_secrets(
    node: Node, declared: Mapping[str, Node], directory: Path, environment: Mapping[str, str]
) -> tuple[BuildSecret, ...]:
    """``build.secrets``: ``target`` is the id by which the Dockerfile asks; owner and mode are the Dockerfile's."""
    found = read_grants(node, "secrets", declared, directory, environment)
    prefix = f"{_top('secrets')}/"
    return tuple(BuildSecret(id=item.target.removeprefix(prefix), content=item.content) for item in found)


def _top(kind: str) -> str:
    return "/run/secrets" if kind == "secrets" else ""


def _mode(node: Node) -> int:
    """Permission bits: octal digits in a string, or a number that YAML has read as octal already."""
    if not isinstance(node.value, str):
        return as_integer(node)
    if not node.value or set(node.value) - set("01234567"):
        raise wrong(node, f"{node.value!r} is not a mode in octal digits")
    return int(node.value, 8)


def _content(node: Node, kind: str, directory: Path, environment: Mapping[str, str]) -> SecretBytes | None:
    """What it holds; None when that is not there now, which only a change of the container minds."""
    check_keys(
        node,
        built={*_SOURCES, "name", "external"},
        known={"labels", "driver", "driver_opts", "template_driver"},
    )
    external = node.get("external")
    if external and (isinstance(external.value, dict) or as_flag(external)):
        raise not_built(external, "there is no store of secrets and configs: give file, environment or content")
    given = [name for name in _SOURCES if node.get(name)]
    if len(given) != 1:
        raise wrong(node, f"give exactly one of {', '.join(_SOURCES)}")
    place = node.get(given[0]) or node
    text = as_text(place)
    if given[0] == "content":
        return SecretBytes(text.encode())
    if given[0] == "environment":
        if text not in environment:
            _log.warning("%s: %s: variable %r is not set", place.at, place.path, text)
            return None
        return SecretBytes(environment[text].encode())
    try:
        return SecretBytes((directory / Path(text).expanduser()).read_bytes())
    except OSError as error:
        _log.warning("%s: %s: %r cannot be read: %s", place.at, place.path, text, error.strerror)
        return None
