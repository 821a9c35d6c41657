"""graph: an environment as a drawing."""

from __future__ import annotations

import argparse
import json
import sys
from argparse import Namespace
from pathlib import Path

from bayplan import app
from bayplan.app import drawing, parts
from bayplan.cli.common import opened, project, stack, stack_if_any
from bayplan.errors import DeclarationError, RuntimeFailureError
from bayplan.system import graphviz
from bayplan.system.files import atomic_write

_FORMS = ("svg", "png", "dot")


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The verb and its options."""
    text = "draw the project: services, networks, volumes, ports and states"
    parser = sub.add_parser("graph", help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.add_argument("declaration", nargs="?", type=Path, metavar="FILE", help="Compose file, as with -f")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="FILE.svg, FILE.png or FILE.dot; stdout: SVG")
    parser.add_argument("--format", choices=_FORMS, help="what the output is, whatever its name")
    parser.add_argument("--plan", action="store_true", help="with what an apply would do")
    parser.add_argument("--json", action="store_true", help="nodes and edges instead of a drawing")
    parser.set_defaults(run=graph)


def graph(options: Namespace) -> int:
    """Draw what is declared and what is there."""
    if options.declaration is not None:
        options.file = [*options.file, options.declaration]
    form = "json" if options.json else _form(options)
    with opened(options) as (runtime, settings):
        declared = stack(options) if options.plan else stack_if_any(options)
        plan = app.plan(stack(options), runtime, settings=settings) if options.plan else None
        found = app.status(project(options), runtime)
        facts = runtime.facts()
        title = f"{project(options)} on {facts.host} ({facts.engine})"
    if options.json:
        data = f"{json.dumps(parts.as_json(title, found, declared, plan))}\n".encode()
    else:
        source = drawing.dot(title, found, declared, plan)
        data = source.encode() if form == "dot" else graphviz.draw(source, form)
    if options.output is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        try:
            atomic_write(options.output, data, mode=0o644, durable=False)
        except OSError as error:
            what = f"the drawing cannot be written: {error.strerror}"
            raise RuntimeFailureError(what, where=str(options.output)) from error
    return 0


def _form(options: Namespace) -> str:
    """What is asked for, by name or ending. Raises DeclarationError, also for a picture to a terminal."""
    found = options.format or (options.output.suffix.lstrip(".").lower() if options.output else "svg")
    if found not in _FORMS:
        raise DeclarationError(f"{options.output}: a drawing is {', '.join(_FORMS)}", hint="name one with --format")
    if found == "png" and options.output is None and sys.stdout.isatty():
        raise DeclarationError("a picture is not written to a terminal", hint="name a file with -o")
    return str(found)
