"""``bayplan parity``: what differs between environments, and whether it may."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bayplan.app import environments
from bayplan.cli.common import opened, project, settings_of, show
from bayplan.cli.locks import CHANGED
from bayplan.cli.printable import printable
from bayplan.errors import DeclarationError
from bayplan.resolve import report as reports
from bayplan.resolve.compare import Comparison, Difference, compare
from bayplan.resolve.page import page, shown
from bayplan.resolve.report import Report
from bayplan.system.files import atomic_write
from bayplan.system.ssh import Remote

HERE = "here"
"""The target that is this host."""


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    text = "compare what environments declare and run"
    parity = sub.add_parser("parity", help=text, description=text[0].upper() + text[1:] + ".")
    parity.add_argument("--json", action="store_true", help="print JSON instead of text")
    parity.add_argument("--save", type=Path, metavar="FILE", help="keep the report of one environment in a file")
    parity.add_argument("--html", type=Path, metavar="FILE", help="write the comparison as one page")
    parity.add_argument("--bridge", default="bayplan bridge", metavar="COMMAND", help="what runs the bridge there")
    parity.add_argument(
        *("target",),
        nargs="*",
        metavar="[NAME=]TARGET",
        help="a host (ssh://[user@]host[:port], or its name), a saved report, a Compose file or its directory; here",
    )
    parity.set_defaults(run=run)


def run(options: Namespace) -> int:
    """One environment is told; several are compared."""
    targets = options.target or [HERE]
    found = dict(zip(_names(targets), _reports(options, targets), strict=True))
    if options.save is not None:
        if len(found) > 1:
            raise DeclarationError("--save keeps the report of one environment", hint="name one")
        one = next(iter(found.values()))
        atomic_write(options.save, one.model_dump_json(indent=1).encode() + b"\n", mode=0o600)
    if len(found) == 1 and options.html is None:
        (name, one), *_ = found.items()
        show(options, one.model_dump(mode="json"), "\n".join(_told(name, one)))
        return 0
    compared = compare(found)
    if options.html is not None:
        atomic_write(options.html, page(compared).encode(), mode=0o644)
    show(options, _json(compared), "\n".join(map(printable, _text(compared))))
    return CHANGED if compared.unallowed else 0


def _names(targets: Sequence[str]) -> list[str]:
    """What each is called: as it says, else by its host, file or directory. Raises DeclarationError."""
    found = []
    for text in targets:
        name, given = _split(text)
        if not name:
            path = Path(given)
            name = path.stem if path.is_file() else path.resolve().name if path.is_dir() else given
            name = Remote.parse(given).host if given.startswith("ssh://") else name
        found.append(name)
    for name in found:
        if found.count(name) > 1:
            raise DeclarationError(f"two environments are called {name}", hint="call them otherwise: NAME=TARGET")
    return found


def _split(text: str) -> tuple[str, str]:
    name, sign, rest = text.partition("=")
    return (name, rest) if sign and name and "/" not in name else ("", text)


def _reports(options: Namespace, targets: Sequence[str]) -> Iterator[Report]:
    """Hosts are asked at the same time; what is wrong with a target is said before any is."""
    jobs = [_job(options, _split(text)[1]) for text in targets]
    with ThreadPoolExecutor(len(jobs)) as pool:
        yield from [job.result() for job in [pool.submit(job) for job in jobs]]


def _job(options: Namespace, target: str) -> Callable[[], Report]:
    path = Path(target)
    if target == HERE:
        name = project(options)
        return lambda: _here(options, name)
    if path.is_dir() or (path.is_file() and path.suffix != ".json"):
        declared = _declaration(options, path)
        return lambda: declared
    if path.is_file() or path.suffix == ".json":
        kept = reports.load(path)
        return lambda: kept
    name, remote = project(options), Remote.parse(target if "://" in target else f"ssh://{target}")
    return lambda: environments.remote_report(name, remote, options.bridge)


def _here(options: Namespace, name: str) -> Report:
    with opened(options) as (runtime, settings):
        told: Report = environments.report(name, runtime, settings)
        return told


def _declaration(options: Namespace, path: Path) -> Report:
    from bayplan.load.compose import find_files, load_stack

    files = find_files(path) if path.is_dir() else (path,)
    if not files:
        raise DeclarationError("no Compose file here", where=str(path))
    stack = load_stack(
        files,
        project_name=options.project_name,
        env_files=tuple(options.env_file),
        profiles=tuple(options.profile),
        settings=settings_of(options),
    )
    return reports.of_declaration(environments.held(stack))


def _told(name: str, one: Report) -> Iterator[str]:
    yield f"{printable(name)}: project {one.project}" + (f", generation {one.generation}" if one.generation else "")
    yield f"fingerprint {one.fingerprint.digest}"
    if one.fingerprint.unlocked:
        yield f"not locked: {', '.join(one.fingerprint.unlocked)} (`bayplan lock` holds them to digests)"
    for path in one.fingerprint.apart:
        yield f"set apart: {printable(path)}"


def _json(found: Comparison) -> dict[str, Any]:
    rows = [{**item.model_dump(mode="json"), "allowed": item.allowed} for item in found.differences]
    prints = {name: one.fingerprint.digest for name, one in found.environments.items()}
    return {"same": found.same, "fingerprints": prints, "unallowed": len(found.unallowed), "differences": rows}


def _text(found: Comparison) -> Iterator[str]:
    for name, one in found.environments.items():
        yield f"{name}: {one.fingerprint.digest}" + (f", generation {one.generation}" if one.generation else "")
    allowed = [item for item in found.differences if item.allowed]
    for title, items in (("Not allowed:", found.unallowed), ("Allowed:", allowed)):
        if items:
            yield ""
            yield title
            yield from (line for item in items for line in _lines(item))
    yield ""
    yield f"{len(found.unallowed)} not allowed, {len(allowed)} allowed."


def _lines(item: Difference) -> Iterator[str]:
    rule = f" (by {item.rule}{f': {item.why}' if item.why else ''})" if item.rule else ""
    side = "" if item.side == "declared" else f" [{item.side}]"
    yield f"{'~' if item.allowed else '!'} {item.path}{side}{rule}"
    for name, value in item.values.items():
        yield f"    {name}: {'not there' if value is None else shown(value)}"
