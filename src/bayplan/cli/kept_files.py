"""``bayplan secret`` and ``bayplan config``: the files that stand for external secrets and configs on this host."""

from __future__ import annotations

import argparse
import sys
from argparse import Namespace
from pathlib import Path

from bayplan import engines
from bayplan.app import kept
from bayplan.cli.common import quiet_option, show, show_list
from bayplan.errors import ConflictError, NotFoundError
from bayplan.models import Kind

_KINDS = (Kind.SECRET, Kind.CONFIG)


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The verbs and their options."""
    for kind in _KINDS:
        parser = sub.add_parser(kind.value, help=f"keep external {kind}s on this host")
        verbs = parser.add_subparsers(dest="kept_verb", required=True, metavar="VERB")
        made = _verb(verbs, "create", create, f"keep a {kind}, which stacks then name as external")
        made.add_argument("name", help="its name")
        made.add_argument(
            "source", metavar="file", nargs="?", default="-", help="file that holds it; - is standard input"
        )
        made.add_argument("--replace", action="store_true", help="over one that is there")
        quiet_option(_verb(verbs, "ls", ls, f"list the {kind}s that are kept"))
        _verb(verbs, "rm", rm, f"remove {kind}s; containers keep theirs").add_argument("name", nargs="+")


def create(options: Namespace) -> int:
    """Write it, whole or not at all."""
    kind, settings = Kind(options.verb), engines.load_settings()
    path = kept.path_of(kind, options.name, settings)
    if path.exists() and not options.replace:
        raise ConflictError(f"{options.verb} {options.name} exists", where=str(path), hint="--replace it")
    given = options.source
    content = sys.stdin.buffer.read(kept.MOST_BYTES + 1) if given == "-" else kept.source(Path(given))
    kept.check(content, given)
    kept.write(kind, options.name, content, settings)
    show(options, {"created": options.name, "file": str(path)}, options.name)
    return 0


def ls(options: Namespace) -> int:
    """Names and sizes; never what they hold."""
    top = kept.root_of(Kind(options.verb), engines.load_settings())
    found = sorted(item for item in top.iterdir() if item.is_file()) if top.is_dir() else []
    data = [{"name": item.name, "size_bytes": item.stat().st_size} for item in found if not item.name.startswith(".")]
    show_list(options, data, ("NAME", "BYTES"), [(str(item["name"]), str(item["size_bytes"])) for item in data])
    return 0


def rm(options: Namespace) -> int:
    """All of them or, when one is unknown, none."""
    settings = engines.load_settings()
    paths = [kept.path_of(Kind(options.verb), name, settings) for name in options.name]
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
