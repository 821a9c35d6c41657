"""``bayplan network``: what there is, and removal."""

from __future__ import annotations

import argparse
import json
import sys
from argparse import Namespace
from typing import Any

from bayplan.cli.common import opened, show
from bayplan.errors import ConflictError, DeclarationError, NotFoundError
from bayplan.models import Kind, Network, ResourceId
from bayplan.runtime.protocol import Observed, Runtime


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The verbs and their options."""
    parser = sub.add_parser("network", help="list, inspect and remove networks")
    verbs = parser.add_subparsers(dest="network_verb", required=True, metavar="VERB")

    def verb(name: str, run: object, text: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        made.add_argument("--json", action="store_true", help="print JSON instead of text")
        made.set_defaults(run=run)
        return made

    verb("ls", ls, "list networks")
    verb("inspect", inspect, "show networks whole, shaped as `docker network inspect`").add_argument("name", nargs="+")
    verb("rm", rm, "remove networks that no container uses").add_argument("name", nargs="+")
    pruned = verb("prune", prune, "remove every network that no container uses")
    pruned.add_argument("--dry-run", action="store_true", help="only list them")
    pruned.add_argument("-f", "--force", action="store_true", help="do not ask")


def ls(options: Namespace) -> int:
    """One line for each network."""
    with opened() as (runtime, _):
        found = runtime.networks_there()
    lines = []
    for item, users in found:
        ranges = ", ".join(value for key, value in item.status.addresses.items() if key.endswith("subnet"))
        columns = (f"{item.id.name:<32}", f"{item.project or '-':<20}", f"{ranges:<20}", ", ".join(users) or "unused")
        lines.append(" ".join([*columns, *item.defects]))
    show(options, [_as_json(item, users) for item, users in found], "\n".join(lines))
    return 0


def inspect(options: Namespace) -> int:
    """JSON in any case."""
    with opened() as (runtime, _):
        found = [dict(runtime.inspect_network(name)) for name in options.name]
    print(json.dumps(found, indent=None if options.json else 2))
    return 0


def rm(options: Namespace) -> int:
    """All of them or, when one is used or unknown, none."""
    with opened() as (runtime, _), runtime.lock("removal of networks"):
        found = {item.id.name: users for item, users in runtime.networks_there()}
        for name in options.name:
            if name not in found:
                raise NotFoundError(f"network {name} does not exist", hint="see `bayplan network ls`")
            if found[name]:
                users = ", ".join(found[name])
                raise ConflictError(f"network {name} is used by containers {users}", hint="remove those first")
        _remove(runtime, options.name)
    show(options, {"removed": options.name}, "\n".join(options.name))
    return 0


def prune(options: Namespace) -> int:
    """What ``--dry-run`` lists is what is removed: asked for and removed under one lock."""
    with opened() as (runtime, _), runtime.lock("removal of unused networks"):
        unused = [item.id.name for item, users in runtime.networks_there() if not users]
        if unused and not options.dry_run:
            _confirm(options, unused)
            _remove(runtime, unused)
    show(options, {"removed": [] if options.dry_run else unused, "unused": unused}, "\n".join(unused))
    return 0


def _confirm(options: Namespace, names: list[str]) -> None:
    if options.force:
        return
    if not sys.stdin.isatty():
        raise DeclarationError(
            f"{len(names)} networks would be removed", hint="--dry-run lists them, --force removes them"
        )
    print("\n".join(names), file=sys.stderr)
    if input("Remove these networks? [y/N] ").strip().lower() not in ("y", "yes"):
        raise KeyboardInterrupt


def _remove(runtime: Runtime, names: list[str]) -> None:
    for name in names:
        runtime.delete(ResourceId(kind=Kind.NETWORK, name=name))


def _as_json(item: Observed, users: tuple[str, ...]) -> dict[str, Any]:
    network = item.actual
    assert isinstance(network, Network)
    driver = {"name": network.name, "driver": network.driver, "internal": network.internal, "bridge": item.handle}
    live = {"addresses": dict(item.status.addresses), "users": list(users), "defects": list(item.defects)}
    return {**driver, "project": item.project, "labels": dict(network.labels), **live}
