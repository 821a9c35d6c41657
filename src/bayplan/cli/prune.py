"""prune: remove what is ours and no longer declared, of every kind."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Iterator, Sequence

from bayplan.app import prune as room
from bayplan.cli import colour
from bayplan.cli.common import lock_timeout, opened, show, stack
from bayplan.cli.image_verbs import size
from bayplan.reconcile.style import Style, Tone


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The verb and its options."""
    text = "remove what the project had and no longer declares"
    parser = sub.add_parser("prune", help=text, description=f"{text.capitalize()}, of every kind, and nothing else.")
    parser.add_argument("--dry-run", action="store_true", help="only list what would be removed: the same list")
    parser.add_argument("--volumes", action="store_true", help="volumes too: their data is lost")
    parser.add_argument("--keep", type=_count, metavar="N", help="generations that stay; those that the settings say")
    parser.add_argument("--lock-timeout", metavar="DURATION", help="wait at most this long for another change to end")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    colour.add_option(parser)
    parser.set_defaults(run=prune)


def prune(options: Namespace) -> int:
    """List, then remove just that list."""
    with opened(options) as (runtime, settings):
        declared = stack(options)
        keep = settings.generations_kept if options.keep is None else options.keep
        found = room.find(declared, runtime, settings, volumes=options.volumes, keep=keep)
        done: Sequence[str] = ()
        if not options.dry_run:
            done = room.carry_out(found, declared, runtime, settings, lock_timeout=lock_timeout(options))
    lines = list(_lines(found, colour.style(options)))
    freed = sum(item.size_bytes for item in found.freed)
    data = {
        "remove": [name for name, _ in _named(found)],
        "removed": list(done),
        "kept": list(found.kept),
        "size_bytes": freed,
    }
    end = f"{'Would remove' if options.dry_run else 'Removed'} {len(lines)} things, {size(freed)} of images and builds."
    kept = [f"Kept: {sentence}." for sentence in found.kept]
    show(options, data, "\n".join([*lines, *kept, end if lines else "Nothing to remove."]))
    return 0


def _named(found: room.Pruning) -> Iterator[tuple[str, str]]:
    """Everything that is to go, with its reason or size."""
    yield from ((f"{item.kind} {item.name}", size(item.size_bytes)) for item in found.freed)
    yield from found.listed()


def _lines(found: room.Pruning, style: Style) -> Iterator[str]:
    for name, why in _named(found):
        yield f"  {style.paint(Tone.REMOVED, f'- {name}')}{style.paint(Tone.ASIDE, f'  {why}')}"


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least the last generation stays")
    return number
