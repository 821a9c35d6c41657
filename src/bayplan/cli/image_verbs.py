"""``bayplan image VERB``: each calls ``bayplan.app`` and prints what came of it."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence

from bayplan import app
from bayplan.cli.common import opened, say, show_list
from bayplan.cli.formatted import formatted
from bayplan.cli.printable import printable
from bayplan.cli.progress import Ticker
from bayplan.cli.template import render
from bayplan.errors import DeclarationError
from bayplan.runtime.images import HistoryEntry, ImageSummary


def ls(options: Namespace) -> int:
    """A line for each name."""
    with opened(options) as (runtime, _):
        found = runtime.image_verbs.summaries()
    if options.format:
        say(formatted(options.format, [row for item in found for row in _fields(item)], _COLUMNS))
        return 0
    rows = [row for item in found for row in _rows(item)]
    data = [item.model_dump(mode="json") for item in found]
    show_list(options, data, ("NAME", "ID", "CREATED", "SIZE", "USED BY"), rows)
    return 0


def inspect(options: Namespace) -> int:
    """Always JSON, an array."""
    with opened(options) as (runtime, _):
        found = [runtime.image_verbs.inspect(name) for name in options.image]
    if options.format:
        print("\n".join(render(options.format, item) for item in found))
    else:
        print(json.dumps(found, indent=None if options.json else 4))
    return 0


def history(options: Namespace) -> int:
    """A line for each step."""
    with opened(options) as (runtime, _):
        found = runtime.image_verbs.history(options.image)
    if options.json:
        print(json.dumps([item.model_dump(mode="json") for item in found]))
        return 0
    _table([("CREATED", "SIZE", "CREATED BY"), *(_step(item) for item in found)])
    return 0


def tag(options: Namespace) -> int:
    """Name it."""
    with opened(options) as (runtime, _):
        digest = app.tag_image(runtime, options.image, options.name)
    print(json.dumps({"digest": digest, "name": options.name}) if options.json else f"{options.name} is {digest}")
    return 0


def remove(options: Namespace) -> int:
    """Name what is gone."""
    with opened(options) as (runtime, _):
        gone = app.remove_images(runtime, options.image)
    print(json.dumps({"removed": gone}) if options.json else "\n".join(f"removed {name}" for name in gone))
    return 0


def push(options: Namespace) -> int:
    """Only what the registry lacks."""
    with opened(options) as (runtime, _), Ticker(quiet=options.json) as ticker:
        verbs = runtime.image_verbs
        if options.index:
            (name, *more) = options.image
            if more:
                raise DeclarationError("one index has one name", where="image push --index")
            done = [verbs.push_index(name, options.index, ticker.report)]
        else:
            done = [verbs.push(name, ticker.report) for name in options.image]
    if options.json:
        print(json.dumps([item.model_dump() for item in done]))
        return 0
    for item in done:
        counts = f"{item.uploaded} uploaded, {item.mounted} mounted, {item.present} there before"
        print(f"pushed {item.name}: {item.digest} ({counts})")
    return 0


def prune(options: Namespace) -> int:
    """The list that is deleted, or with --dry-run would be."""
    with opened(options) as (runtime, _):
        found = app.prune_images(runtime, unused=options.all, dry_run=options.dry_run)
    if options.json:
        print(json.dumps([item.model_dump() for item in found]))
        return 0
    for item in found:
        print(f"{item.kind:<5}  {item.name}" + (f"  {size(item.size_bytes)}" if item.size_bytes else ""))
    total = size(sum(item.size_bytes for item in found))
    print(f"{'Would free' if options.dry_run else 'Freed'} {total} in {len(found)} things.")
    return 0


def copy(options: Namespace) -> int:
    """Only what the other host lacks."""
    with opened(options) as (runtime, _), Ticker(quiet=options.json) as ticker:
        done = runtime.image_verbs.copy(options.image, options.target, options.bridge, ticker.report)
    said = f"copied {done.name}: {done.digest} ({done.blobs} blobs, {size(done.size_bytes)})"
    print(json.dumps(done.model_dump()) if options.json else said)
    return 0


def size(count: int) -> str:
    """Bytes in the unit that leaves one to three digits before the point (1024-based)."""
    value, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1000 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.0f} {units[0]}" if units[0] == "B" else f"{value:.1f} {units[0]}"


def _rows(item: ImageSummary) -> list[tuple[str, ...]]:
    created = item.created.strftime("%Y-%m-%d %H:%M") if item.created else ""
    used = ", ".join(item.containers) + (f"  BROKEN: {item.defect}" if item.defect else "")
    rest = ((item.id or item.digest)[7:19], created, size(item.size_bytes), used)
    return [(name, *rest) for name in item.names or ("<none>",)]


_COLUMNS = ("Repository", "Tag", "ID", "CreatedAt", "Size")


def _fields(item: ImageSummary) -> list[dict[str, str]]:
    """Those of a template, as docker image ls names them, for each name."""
    own = {
        "ID": (item.id or item.digest)[7:19],
        "Digest": item.digest,
        "CreatedAt": str(item.created or ""),
        "Size": size(item.size_bytes),
        "Containers": str(len(item.containers)),
    }
    names = [name.rpartition(":")[::2] for name in item.names] or [("<none>", "<none>")]
    return [{"Repository": repository, "Tag": tag, **own} for repository, tag in names]


def _step(item: HistoryEntry) -> tuple[str, ...]:
    text = " ".join(f"{item.created_by} {item.comment}".split())
    return (item.created[:16].replace("T", " "), size(item.size_bytes), text)


def _table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        print(printable(line.rstrip()))
