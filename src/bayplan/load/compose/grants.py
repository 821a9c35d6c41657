"""Secrets and configs: declared at the top, given to services as files."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretBytes

from bayplan.load.compose.nodes import Node, as_flag, as_integer, as_list, as_text, check_keys, wrong
from bayplan.load.compose.paths import below
from bayplan.load.compose.resources import final_name
from bayplan.load.compose.validate import make
from bayplan.models import BuildSecret, FileGrant
from bayplan.values import frozen

_log = logging.getLogger("bayplan.load")
_SOURCES = ("file", "environment", "content")


@frozen
class Places:
    """Where contents come from: relative paths, variables, and the files of external secrets and configs."""

    directory: Path
    environment: Mapping[str, str]
    kept: Mapping[str, Path]
    """``secrets`` and ``configs`` to their directories on this host."""


def read_grants(node: Node, kind: str, declared: Mapping[str, Node], places: Places) -> tuple[FileGrant, ...]:
    """``secrets`` or ``configs`` (``kind``) of a service, with their content. Raises DeclarationError."""
    found: dict[str, FileGrant] = {}
    for item in as_list(node):
        values = grant_values(item, kind, declared)
        name = values["source"]
        values["content"] = read_content(declared[name], name, kind, places)
        if file := _file(declared[name], name, kind, places):
            values["file"] = str(file)
        grant = make(FileGrant, item, values)
        found[grant.target] = grant
    return tuple(found.values())


def grant_values(item: Node, kind: str, declared: Mapping[str, Node]) -> dict[str, Any]:
    """One entry of a service's ``secrets`` or ``configs`` as fields of a grant; its source is a declared key."""
    long = isinstance(item.value, dict)
    if long:
        check_keys(item, built={"source", "target", "uid", "gid", "mode"})
    source = item.get("source") if long else item
    if source is None:
        raise wrong(item, "names no source")
    name = as_text(source)
    if name not in declared:
        raise wrong(source, f"{name!r} is not declared", hint=f"add it under the top-level {kind}")
    target = as_text(given) if long and (given := item.get("target")) else name
    values: dict[str, Any] = {"source": name}
    values["target"] = target if target.startswith("/") else f"{_top(kind)}/{target}"
    for key in ("uid", "gid"):
        if long and (number := item.get(key)):
            values[key] = as_integer(number)
    if long and (mode := item.get("mode")):
        values["mode"] = _mode(mode)
    return values


def read_build_secrets(node: Node, declared: Mapping[str, Node], places: Places) -> tuple[BuildSecret, ...]:
    """``build.secrets``: ``target`` is the id by which the Dockerfile asks; owner and mode are the Dockerfile's."""
    found = read_grants(node, "secrets", declared, places)
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


def is_external(node: Node) -> bool:
    """Whether somebody else makes it."""
    external = node.get("external")
    return external is not None and (isinstance(external.value, dict) or as_flag(external))


def _file(node: Node, key: str, kind: str, places: Places) -> Path | None:
    """The file that holds it, when one does."""
    if is_external(node):
        return places.kept[kind] / final_name(node, key, "")
    file = node.get("file")
    if file is None:
        return None
    return Path(os.path.normpath(below(places.directory.absolute(), as_text(file), file)))


def _kept(node: Node, file: Path, kind: str) -> SecretBytes | None:
    """What a file of this host holds; None, told, when it is not there, or a secret that others may read."""
    try:
        with file.open("rb") as opened:
            if kind == "secrets" and (others := stat.S_IMODE(os.fstat(opened.fileno()).st_mode) & 0o077):
                _log.warning(
                    "%s: %s: %s may be read by others than root (bits %03o): chmod 600 it",
                    *(node.at, node.path, file, others),
                )
                return None
            return SecretBytes(opened.read())
    except OSError as error:
        hint = f"bayplan {kind.removesuffix('s')} create {file.name}"
        _log.warning("%s: %s: %s: %s (%s)", node.at, node.path, file, error.strerror, hint)
        return None


def read_content(node: Node, key: str, kind: str, places: Places) -> SecretBytes | None:
    """What it holds; None when that is not there now, which only a change of the container minds."""
    check_keys(
        node,
        built={*_SOURCES, "name", "external"},
        known={"labels", "driver", "driver_opts", "template_driver"},
    )
    if is_external(node):
        file = places.kept[kind] / final_name(node, key, "")
        if file.parent != places.kept[kind] or file.name.startswith("."):
            raise wrong(node, f"{final_name(node, key, '')!r} is no name of a file in {places.kept[kind]}")
        return _kept(node, file, kind)
    given = [name for name in _SOURCES if node.get(name)]
    if len(given) != 1:
        raise wrong(node, f"give exactly one of {', '.join(_SOURCES)}")
    place = node.get(given[0]) or node
    text = as_text(place)
    if given[0] == "content":
        return SecretBytes(text.encode())
    if given[0] == "environment":
        if text not in places.environment:
            _log.warning("%s: %s: variable %r is not set", place.at, place.path, text)
            return None
        return SecretBytes(places.environment[text].encode())
    try:
        return SecretBytes(below(places.directory, text, place).read_bytes())
    except OSError as error:
        _log.warning("%s: %s: %r cannot be read: %s", place.at, place.path, text, error.strerror)
        return None
