"""``environment`` and ``env_file``, ``label_file``: what a service reads from files beside the Compose file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bayplan.load.compose import dotenv
from bayplan.load.compose.nodes import Node, as_flag, as_list, as_text, check_keys, pairs, wrong
from bayplan.load.compose.paths import below
from bayplan.system.probes import probe


def environment(service: Node, directory: Path, outer: Mapping[str, str]) -> dict[str, str]:
    """The container's variables; ``outer`` are the shell's and those of ``.env``. Raises DeclarationError."""
    found: dict[str, str] = {}
    if files := service.get("env_file"):
        for item in as_list(files) if isinstance(files.value, list) else [files]:
            found |= _env_file(item, directory, {**found, **outer})
    if given := service.get("environment"):
        for name, value, place in pairs(given):
            taken = outer.get(name) if value is None else value
            if not name or "=" in name:
                raise wrong(place, f"{name!r} is not a variable's name")
            if taken is not None:
                found[name] = taken
    return found


def label_files(service: Node, directory: Path) -> dict[str, str]:
    """The labels of ``label_file``. Raises DeclarationError."""
    found: dict[str, str] = {}
    if files := service.get("label_file"):
        for item in as_list(files) if isinstance(files.value, list) else [files]:
            file = below(directory, as_text(item), item)
            if not probe(file).is_file():
                raise wrong(item, f"label file {str(file)!r} does not exist")
            found |= dotenv.read(file, {})
    return found


def _env_file(node: Node, directory: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    required, raw, path = True, False, node
    if isinstance(node.value, dict):
        check_keys(node, built={"path", "required", "format"})
        inner, flag, form = node.get("path"), node.get("required"), node.get("format")
        if inner is None:
            raise wrong(node, "needs a path")
        if form and as_text(form) != "raw":
            raise wrong(form, f"unknown format {as_text(form)!r}", hint="raw")
        path, required, raw = inner, as_flag(flag) if flag else True, form is not None
    file = below(directory, as_text(path), path)
    if not probe(file).is_file():
        if required:
            raise wrong(path, f"env file {str(file)!r} does not exist", hint="make it, or set required: false")
        return {}
    return dotenv.read(file, inherited, raw=raw)
