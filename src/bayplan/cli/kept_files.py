"""``bayplan secret`` and ``bayplan config``: the files that stand for external secrets and configs on this host."""

from __future__ import annotations

import argparse
import sys
from argparse import Namespace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from bayplan import engines
from bayplan.cli.common import show
from bayplan.errors import ConflictError, DeclarationError, NotFoundError
from bayplan.models.types import ResourceName
from bayplan.system.files import atomic_write

_MOST_BYTES = 1 << 20
_MODES = {"secret": (0o700, 0o600), "config": (0o755, 0o644)}


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The verbs and their options."""
    for kind in _MODES:
        parser = sub.add_parser(kind, help=f"keep external {kind}s on this host")
        verbs = parser.add_subparsers(dest="kept_verb", required=True, metavar="VERB")
        made = _verb(verbs, "create", create, f"keep a {kind}, which stacks then name as external")
        made.add_argument("name", help="its name")
        made.add_argument(
            "source", metavar="file", nargs="?", default="-", help="file that holds it; - is standard input"
        )
        made.add_argument("--replace", action="store_true", help="over one that is there")
        _verb(verbs, "ls", ls, f"list the {kind}s that are kept")
        _verb(verbs, "rm", rm, f"remove {kind}s; containers keep theirs").add_argument("name", nargs="+")


def create(options: Namespace) -> int:
    """Write it, whole or not at all."""
    path, (folder_mode, mode) = _path(options, options.name), _MODES[options.verb]
    if path.exists() and not options.replace:
        raise ConflictError(f"{options.verb} {options.name} exists", where=str(path), hint="--replace it")
    try:
        source = sys.stdin.buffer.read(_MOST_BYTES + 1) if options.source == "-" else _read(Path(options.source))
        if len(source) > _MOST_BYTES:
            raise DeclarationError(f"more than {_MOST_BYTES >> 20} MiB", where=options.source, hint="use a volume")
        path.parent.mkdir(parents=True, exist_ok=True, mode=folder_mode)
        atomic_write(path, source, mode=mode)
    except PermissionError as error:
        raise DeclarationError(f"{error.strerror}", where=str(error.filename), hint="run as root") from error
    show(options, {"created": options.name, "file": str(path)}, options.name)
    return 0


def ls(options: Namespace) -> int:
    """Names and sizes; never what they hold."""
    top = _root(options)
    found = sorted(item for item in top.iterdir() if item.is_file()) if top.is_dir() else []
    data = [{"name": item.name, "size_bytes": item.stat().st_size} for item in found if not item.name.startswith(".")]
    show(options, data, "\n".join(str(item["name"]) for item in data))
    return 0


def rm(options: Namespace) -> int:
    """All of them or, when one is unknown, none."""
    paths = [_path(options, name) for name in options.name]
    for path in paths:
        if not path.exists():
            raise NotFoundError(f"{options.verb} {path.name} does not exist", hint=f"see `bayplan {options.verb} ls`")
    for path in paths:
        path.unlink()
    show(options, {"removed": options.name}, "\n".join(options.name))
    return 0


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, run: object, text: str
) -> argparse.ArgumentParser:
    made = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    made.add_argument("--json", action="store_true", help="print JSON instead of text")
    made.set_defaults(run=run)
    return made


def _root(options: Namespace) -> Path:
    settings = engines.load_settings()
    return settings.secrets_root if options.verb == "secret" else settings.configs_root


def _path(options: Namespace, name: str) -> Path:
    try:
        TypeAdapter(ResourceName).validate_python(name)
    except ValidationError as error:
        raise DeclarationError(f"{name!r} is no name of a {options.verb}") from error
    return _root(options) / name


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise NotFoundError(f"cannot be read: {error.strerror}", where=str(path)) from error
