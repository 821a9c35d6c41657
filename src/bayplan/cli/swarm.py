"""``bayplan swarm``: the nodes of a swarm, declared in a file of their own."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bayplan import app, engines
from bayplan.cli.colour import add_option, style
from bayplan.cli.common import settings_of, show, table
from bayplan.cli.converging import carry_out
from bayplan.load.nodes import load_nodes
from bayplan.models import Settings
from bayplan.reconcile import render
from bayplan.runtime.protocol import Observed, Runtime

_HEAD = ("NAME", "ROLE", "AVAILABILITY", "ADDRESS", "LABELS", "NOTES")


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The verbs and their options."""
    parser = sub.add_parser("swarm", help="plan and apply the nodes of a swarm, and list them")
    inner = parser.add_subparsers(dest="swarm_verb", required=True, metavar="VERB")

    def verb(name: str, run: object, text: str) -> argparse.ArgumentParser:
        made = inner.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        made.add_argument("--json", action="store_true", help="print JSON instead of text")
        made.set_defaults(run=run)
        return made

    planned = verb("plan", plan, "show what apply would do; change nothing")
    planned.add_argument("--detailed-exitcode", action="store_true", help="exit with 5 when there are changes")
    applied = verb("apply", apply, "make, join, change and leave the swarm as the file says")
    applied.add_argument("--lock-timeout", metavar="DURATION", help="wait at most this long for another change to end")
    for made in (planned, applied):
        add_option(made)
        made.add_argument("nodes", type=Path, nargs="?", default=Path("swarm.yaml"), help="file of nodes; swarm.yaml")
    verb("ls", ls, "list the nodes")


@contextmanager
def _opened(options: Namespace) -> Iterator[tuple[Runtime, Settings]]:
    settings = engines.chosen(settings_of(options).model_copy(update={"engine": "swarm"}))
    with engines.open_runtime(settings) as runtime:
        yield runtime, settings


def plan(options: Namespace) -> int:
    """Print the plan."""
    nodes, absent = load_nodes(options.nodes)
    with _opened(options) as (runtime, _):
        made = app.plan_single(nodes, runtime, absent=absent)
    show(options, render.as_json(made), render.as_text(made, style(options)))
    return 5 if options.detailed_exitcode and made.changed else 0


def apply(options: Namespace) -> int:
    """Plan, show, do."""
    nodes, absent = load_nodes(options.nodes)
    with _opened(options) as (runtime, settings):
        return carry_out(options, lambda: app.plan_single(nodes, runtime, absent=absent), runtime, settings)


def ls(options: Namespace) -> int:
    """One line for each node."""
    with _opened(options) as (runtime, _):
        found = sorted(app.nodes(runtime), key=lambda item: item.id.name)
    rows = [_row(item) for item in found]
    data = [{**item.actual.model_dump(mode="json"), "id": item.handle, "notes": item.notes} for item in found]
    show(options, data, table([_HEAD, *rows]))
    return 0


def _row(item: Observed) -> tuple[str, ...]:
    node = item.actual.model_dump(mode="json")
    labels = ",".join(f"{key}={value}" for key, value in sorted(node["labels"].items()))
    where = item.status.addresses.get("swarm", "-")
    return (item.id.name, node["role"], node["availability"], where, labels or "-", "; ".join(item.notes))
