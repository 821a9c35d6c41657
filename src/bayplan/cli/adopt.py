"""adopt: a Compose file of what runs."""

from __future__ import annotations

import argparse
import sys
from argparse import Namespace
from pathlib import Path

from bayplan.app import adopt as room
from bayplan.cli import colour
from bayplan.cli.common import opened, project_if_any, show
from bayplan.errors import ConflictError
from bayplan.reconcile import render
from bayplan.system.files import atomic_write


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The verb and its options."""
    text = "write a Compose file of what runs, and prove it by an empty plan"
    parser = sub.add_parser("adopt", help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.add_argument("name", nargs="*", help="a project, or containers; the project at hand when none is named")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to write it; standard output")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    colour.add_option(parser)
    parser.set_defaults(run=adopt)


def adopt(options: Namespace) -> int:
    """Write the file, say what is not in it, show the plan; 5 when that would change something."""
    file: Path | None = options.output
    if file is not None and file.exists():
        raise ConflictError("the file is there already", where=str(file), hint="name another with -o")
    directory = options.project_directory or (file.absolute().parent if file else Path.cwd())
    with opened(options) as (runtime, settings):
        name = project_if_any(options) or directory.absolute().name.lower()
        made = room.adopt(options.name, name, runtime, settings, directory)
    if file is not None:
        atomic_write(file, made.written.text.encode(), mode=0o644)
    told = [
        *(f"Left to the environment, as it may be secret: {one}" for one in made.written.secrets),
        *(f"Left out: {one}" for one in made.written.left_out),
    ]
    plan = render.as_text(made.plan, colour.style(options))
    if options.json:
        data = {"compose": made.written.text, **made.written.model_dump(mode="json", exclude={"text"})}
        show(options, {"project": made.project, **data, "plan": render.as_json(made.plan)}, "")
    elif file is None:
        # The file alone goes to standard output, so that it can be sent into one.
        sys.stdout.write(made.written.text)
        print("\n".join([*told, plan]), file=sys.stderr)
    else:
        print("\n".join([f"Wrote {file}: project {made.project}.", *told, plan]))
    return 5 if made.plan.changed else 0
