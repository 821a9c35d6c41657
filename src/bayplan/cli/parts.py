"""Options of ``plan`` and ``apply`` that say what of a declaration is meant."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from bayplan.errors import DeclarationError
from bayplan.reconcile.plan import Part


def options_of(parser: ArgumentParser) -> None:
    """Add them."""
    what = "just this service and what it depends on; may be repeated"
    parser.add_argument("--service", action="append", default=[], metavar="NAME", help=what)
    parser.add_argument("--keep-orphans", action="store_true", help="leave what the project has and no longer declares")


def asked(options: Namespace) -> Part:
    """What the options say."""
    return Part(services=tuple(options.service), orphans=not options.keep_orphans)


def refuse(part: Part, file: Path) -> None:
    """Raise DeclarationError for a part of what a file holds: it says itself what it is of."""
    if part != Part():
        hint = "give --service and --keep-orphans to `bayplan plan --out FILE`"
        raise DeclarationError("this file is applied as it is, or not at all", where=str(file), hint=hint)
