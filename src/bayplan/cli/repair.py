"""repair: make damaged or lost records anew."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict

from bayplan import engines
from bayplan.app import repair as room
from bayplan.cli.common import project_if_any, settings_of, show
from bayplan.runtime.repairs import Repair


def repair(options: Namespace) -> int:
    """Say of each record what was wrong, what came of it, and what could not be found; 1 when something could not."""
    name = project_if_any(options)
    done = room.repair(engines.chosen(settings_of(options), lambda: name), name)
    lines = [line for item in done for line in _lines(item)]
    show(options, [asdict(item) for item in done], "\n".join(lines) or "Nothing is damaged.")
    return 1 if any(item.missing for item in done) else 0


def _lines(item: Repair) -> Iterator[str]:
    if not item.fault:
        return
    yield f"{item.file}: {item.fault}"
    if item.aside:
        yield f"  set aside as {item.aside}"
    yield from (f"  found      {found}" for found in item.found)
    yield from (f"  not found  {missing}" for missing in item.missing)
