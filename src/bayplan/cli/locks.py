"""``bayplan lock``: the digests that a declaration stands for, in a file to be committed."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bayplan.cli.common import opened, show, stack

if TYPE_CHECKING:
    from bayplan.resolve.locking import Moved

CHANGED = 5
"""Exit code of a look that found a difference, as that of ``plan --detailed-exitcode``."""


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    text = "hold every image and base image of the declaration to digests, in bayplan.lock"
    lock = sub.add_parser("lock", help=text, description=text[0].upper() + text[1:] + ".")
    lock.add_argument("--json", action="store_true", help="print JSON instead of text")
    one = lock.add_mutually_exclusive_group()
    one.add_argument("--check", action="store_true", help="write nothing; exit with 5 when something moved")
    one.add_argument(
        "--upgrade", nargs="*", metavar="SERVICE", help="ask the registry anew, for all or for these services"
    )
    lock.set_defaults(run=run)


def options_of(parser: argparse.ArgumentParser) -> None:
    """``--locked`` and ``--no-lock``, for verbs that apply a declaration."""
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--locked", action="store_true", help="refuse what is not in bayplan.lock")
    one.add_argument("--no-lock", action="store_true", help="take no notice of bayplan.lock")


def run(options: Namespace) -> int:
    """Write the lock, or say what moved since."""
    from bayplan.app import environments  # not for those that only take options from here

    options.no_lock, options.profile = True, ["*"]  # one lock for all that the files declare
    with opened(options) as (runtime, settings):
        declared = stack(options)
        if options.check:
            path, found = environments.check_lock(declared, runtime, settings)
        else:
            path, found = environments.lock(declared, runtime, settings, upgrade=options.upgrade)
    data: dict[str, Any] = {
        "file": str(path),
        "moved": [{"kind": one.kind, "name": one.name, "what": one.what} for one in found],
    }
    done = "as it is" if options.check else "unchanged"
    said = f"{path}: {len(found)} {'differ' if options.check else 'changed'}." if found else f"{path}: {done}."
    show(options, data, "\n".join((*_lines(found), said)))
    return CHANGED if options.check and found else 0


def _lines(found: Sequence[Moved]) -> list[str]:
    return [f"~ {one.kind} {one.name}: {one.what}" for one in found]
