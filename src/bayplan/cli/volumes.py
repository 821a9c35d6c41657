"""``bayplan volume``: what there is, removal, and content in and out."""

from __future__ import annotations

import argparse
import json
import sys
from argparse import Namespace
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from bayplan import app
from bayplan.app.unused import remove, volumes
from bayplan.cli import making
from bayplan.cli.common import opened, quiet_option, say, show, show_list
from bayplan.cli.formatted import formatted
from bayplan.cli.printable import printable_lines
from bayplan.cli.template import render
from bayplan.errors import DeclarationError, InUseError, NotFoundError
from bayplan.models import Kind, Volume
from bayplan.runtime.protocol import Observed


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The verbs and their options."""
    parser = sub.add_parser("volume", help="list, remove, export and import volumes")
    verbs = parser.add_subparsers(dest="volume_verb", required=True, metavar="VERB")

    def verb(name: str, run: object, text: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        made.add_argument("--json", action="store_true", help="print JSON instead of text")
        made.set_defaults(run=run)
        return made

    making.volume_options(verb("create", making.volume, "make a volume, which projects name as external"))
    listed = verb("ls", ls, "list volumes")
    listed.add_argument("--format", metavar="TEMPLATE", help="such as '{{.Name}}', json")
    quiet_option(listed)
    shown = verb("inspect", inspect, "show volumes whole")
    shown.add_argument("--format", metavar="TEMPLATE", help="such as '{{.Name}} {{.Labels}}'")
    shown.add_argument("name", nargs="+")
    verb("rm", rm, "remove volumes and their data").add_argument("name", nargs="+")
    pruned = verb("prune", prune, "remove anonymous volumes that no container mounts: their data is lost")
    pruned.add_argument("-a", "--all", action="store_true", help="those of ours with names too")
    pruned.add_argument("--dry-run", action="store_true", help="only list them")
    pruned.add_argument("-f", "--force", action="store_true", help="do not ask")
    out = verb("export", export, "write a volume's content as a tar archive")
    out.add_argument("name")
    out.add_argument("-o", "--output", type=Path, metavar="FILE", help="instead of standard output")
    into = verb("import", load, "fill a volume from a tar archive, all of it or nothing")
    into.add_argument("name")
    into.add_argument("archive", metavar="file", nargs="?", type=Path, help="instead of standard input")
    into.add_argument("--replace", action="store_true", help="what is in it is lost")


def ls(options: Namespace) -> int:
    """One line for each volume."""
    with opened(options) as (runtime, _):
        found = runtime.volumes_there()
    if options.format:
        say(formatted(options.format, [_fields(item) for item, _ in found], ("Driver", "Name")))
        return 0
    rows = [
        (item.id.name, item.project or "-", ", ".join(users) or "unused", "; ".join(item.defects))
        for item, users in found
    ]
    data = [_as_json(item, users) for item, users in found]
    show_list(options, data, ("NAME", "PROJECT", "USED BY", "DEFECTS"), rows)
    return 0


def inspect(options: Namespace) -> int:
    """JSON in any case."""
    with opened(options) as (runtime, _):
        found = {item.id.name: (item, users) for item, users in runtime.volumes_there()}
    _known(options.name, found)
    if options.format:
        rows = [{**_as_json(*found[name]), **_fields(found[name][0])} for name in options.name]
        print("\n".join(render(options.format, row) for row in rows))
    else:
        print(json.dumps([_as_json(*found[name]) for name in options.name], indent=None if options.json else 2))
    return 0


def rm(options: Namespace) -> int:
    """All of them or, when one is used or unknown, none."""
    with opened(options) as (runtime, _), runtime.lock("removal of volumes"):
        found = {item.id.name: users for item, users in runtime.volumes_there()}
        _known(options.name, found)
        for name in options.name:
            if found[name]:
                users = ", ".join(found[name])
                raise InUseError(f"volume {name} is used by containers {users}", hint="remove those first")
        remove(Kind.VOLUME, options.name, runtime)
    show(options, {"removed": options.name}, "\n".join(options.name))
    return 0


def prune(options: Namespace) -> int:
    """What ``--dry-run`` lists is what is removed: asked for and removed under one lock, which is a change itself."""
    lock = "removal of unused volumes"
    with opened(options) as (runtime, _), nullcontext() if options.dry_run else runtime.lock(lock):
        unused = volumes(runtime, named=options.all)
        if unused and not options.dry_run:
            _confirm(options, unused)
            remove(Kind.VOLUME, unused, runtime)
    text = printable_lines("\n".join(unused)) or "Nothing to remove."
    show(options, {"removed": [] if options.dry_run else unused, "unused": unused}, text)
    return 0


def export(options: Namespace) -> int:
    """A file appears under its name when it is whole."""
    with opened(options) as (runtime, _):
        if options.output is None:
            if sys.stdout.isatty():
                raise DeclarationError("an archive is not written to a terminal", hint="name a file with -o")
            runtime.export_volume(options.name, sys.stdout.buffer)
            return 0
        app.export_volume(runtime, options.name, options.output)
    return 0


def load(options: Namespace) -> int:
    """From a file or standard input."""
    with opened(options) as (runtime, _):
        if options.archive is not None:
            app.import_volume(runtime, options.name, options.archive, replace=options.replace)
            return 0
        with runtime.lock(f"import into volume {options.name}"):
            runtime.import_volume(options.name, sys.stdin.buffer, replace=options.replace)
    return 0


def _confirm(options: Namespace, names: list[str]) -> None:
    if options.force:
        return
    if not sys.stdin.isatty():
        raise DeclarationError(
            f"{len(names)} volumes and their data would be removed", hint="--dry-run lists them, --force removes them"
        )
    print("\n".join(names), file=sys.stderr)
    if input("Remove these volumes and their data? [y/N] ").strip().lower() not in ("y", "yes"):
        raise KeyboardInterrupt


def _known(names: list[str], found: dict[str, Any]) -> None:
    for name in names:
        if name not in found:
            raise NotFoundError(f"volume {name} does not exist", hint="see `bayplan volume ls`")


def _as_json(item: Observed, users: tuple[str, ...]) -> dict[str, Any]:
    declared = item.actual.model_dump(mode="json")
    return {**declared, "project": item.project, "users": list(users), "defects": list(item.defects)}


def _fields(item: Observed) -> dict[str, Any]:
    """Those of a template, as docker volume names them."""
    declared = item.actual
    assert isinstance(declared, Volume)
    own = {"Name": declared.name, "Driver": "local", "Scope": "local"}
    return {**own, "Labels": dict(declared.labels), "Options": dict(declared.driver_opts)}
