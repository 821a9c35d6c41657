"""``bayplan image`` verbs that read and write archives and containers' file systems."""

from __future__ import annotations

import json
import os
import secrets
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bayplan import app
from bayplan.cli.common import container_names, opened
from bayplan.cli.printable import printable
from bayplan.cli.progress import Ticker
from bayplan.errors import ConflictError, DeclarationError
from bayplan.runtime.protocol import Runtime


def save(options: Namespace) -> int:
    """To a path, or to standard output when that is no terminal."""
    target = _stdout() if options.output == "-" else Path(options.output)
    with opened(options) as (runtime, _), Ticker(quiet=options.json) as ticker:
        runtime.image_verbs.save(options.image, target, options.format, ticker.report)
    return 0


def load(options: Namespace) -> int:
    """Name what is here now."""
    source = sys.stdin.buffer if options.input == "-" else Path(options.input)
    with opened(options) as (runtime, _), Ticker(quiet=options.json) as ticker:
        found = runtime.image_verbs.load(source, options.name, ticker.report)
    print(json.dumps(dict(found)) if options.json else "\n".join(f"loaded {name}: {found[name]}" for name in found))
    return 0


def import_tree(options: Namespace) -> int:
    """Print the digest."""
    source = sys.stdin.buffer if options.archive == "-" else Path(options.archive)
    with opened(options) as (runtime, _), Ticker(quiet=options.json) as ticker:
        digest = runtime.image_verbs.import_tree(source, options.name, options.message, ticker.report)
    print(json.dumps({"digest": digest}) if options.json else digest)
    return 0


def export(options: Namespace) -> int:
    """To a path that is not there yet, or to standard output."""
    with opened(options) as (runtime, _), _target(options.output) as target:
        runtime.image_verbs.export(_container(options, runtime), target)
    return 0


def commit(options: Namespace) -> int:
    """Print the digest."""
    with opened(options) as (runtime, _), Ticker(quiet=options.json) as ticker:
        digest = app.commit_container(
            runtime, _container(options, runtime), options.name, options.message, ticker.report
        )
    print(json.dumps({"digest": digest}) if options.json else digest)
    return 0


def diff(options: Namespace) -> int:
    """A line for each change."""
    with opened(options) as (runtime, _):
        found = list(runtime.image_verbs.diff(_container(options, runtime)))
    if options.json:
        print(json.dumps([{"kind": kind, "path": path} for kind, path in found]))
    else:
        print("".join(f"{kind} {printable(path)}\n" for kind, path in found), end="")
    return 0


def _container(options: Namespace, runtime: Runtime) -> str:
    """The container's name as it is given, or that of a service's first container."""
    if hasattr(options, "container"):
        return str(options.container)
    options.service = [options.service]
    return container_names(options, runtime)[0]


@contextmanager
def _target(output: str) -> Iterator[BinaryIO]:
    """A stream to write; a file has its name only when it is whole."""
    if output == "-":
        yield _stdout()
        return
    path = Path(output)
    if path.exists() or path.is_symlink():
        raise ConflictError("exists already", where=str(path), hint="name another place, or remove it first")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)


def _stdout() -> BinaryIO:
    if sys.stdout.isatty():
        raise DeclarationError("an archive is not for a terminal", hint="redirect standard output, or name a file: -o")
    return sys.stdout.buffer
