"""What the verbs of the command share: the engine, the declaration, and the containers that are meant."""

from __future__ import annotations

import json
import logging
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from bayplan import engines
from bayplan.cli.printable import printable
from bayplan.errors import DeclarationError, NotFoundError
from bayplan.models import Container, Duration, Kind, ResourceId, Settings, Stack
from bayplan.resolve.beside import is_there
from bayplan.runtime.protocol import Observed, Runtime, Scope

_HELD = frozenset({"plan", "apply", "pull", "create", "run", "bundle", "build"})
"""Verbs that take images as the lock has them; the others (to look, to stop, to remove) work whatever is in it."""


def settings_of(options: Namespace) -> Settings:
    """Settings of file, environment and command line."""
    names = ("engine", "engine_address", "engine_context")
    given = {name: getattr(options, name) for name in names if getattr(options, name, None)}
    return engines.load_settings(overrides=given)


@contextmanager
def opened(options: Namespace) -> Iterator[tuple[Runtime, Settings]]:
    """The engine that runs what the options name, and the settings."""
    # Once: else each model that holds containers (a stack, what was observed, a plan) works their schema out anew.
    Container.model_rebuild()
    settings = engines.chosen(settings_of(options), lambda: project_if_any(options))
    if settings.engine == "swarm" and "stack" in options:
        del options.stack  # it was read for one host, to know its name
    options.settings = settings
    with engines.open_runtime(settings) as runtime:
        yield runtime, settings


def project_if_any(options: Namespace) -> str:
    """The project's name; empty where nothing says it."""
    if options.project_name:
        return str(options.project_name)
    found = stack_if_any(options)
    return found.name if found else ""


def stack_if_any(options: Namespace) -> Stack | None:
    """The declaration, where there is one."""
    from bayplan.load.compose import find_files

    there = options.file or find_files(_directory(options) or Path.cwd())
    return stack(options) if there else None


def is_of_host(options: Namespace) -> bool:
    """Whether nothing names a project, nor a container: a list is of all that the host has then."""
    from bayplan.load.compose import find_files

    named = options.project_name or options.file or options.service
    return not named and not find_files(_directory(options) or Path.cwd())


def stack(options: Namespace) -> Stack:
    """The declaration that the options name, read once. Raises NotFoundError when there is none."""
    from bayplan.load.compose import find_files, load_stack

    if "stack" in options:
        return cast(Stack, options.stack)
    directory = _directory(options)
    files = tuple(options.file) or find_files(directory or Path.cwd())
    if not files:
        raise NotFoundError("no Compose file here", where=str(directory or Path.cwd()), hint="name one with -f")
    with _warned(options):
        found = load_stack(
            files,
            project_directory=directory,
            project_name=options.project_name,
            environment=os.environ,
            env_files=tuple(options.env_file),
            profiles=tuple(options.profile),
            settings=options.settings if "settings" in options else settings_of(options),
        )
    options.stack = _locked(found, options) if options.verb in _HELD else found
    return cast(Stack, options.stack)


@contextmanager
def _warned(options: Namespace) -> Iterator[None]:
    """What of a file is ignored, or not set, concerns who applies it: who looks at what runs has no use for that."""
    log = logging.getLogger("bayplan.load")
    earlier = log.level
    if options.verb not in _HELD:
        log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(earlier)


def _directory(options: Namespace) -> Path | None:
    """Where paths begin, when that is given. Raises NotFoundError: files are looked for in those above it too."""
    directory: Path | None = options.project_directory
    if directory is not None and not directory.is_dir():
        raise NotFoundError("is no directory", where=f"--project-directory {directory}")
    return directory


def _locked(found: Stack, options: Namespace) -> Stack:
    """At the digests of the lock beside it; there is none most of the time."""
    strict = getattr(options, "locked", False)
    if getattr(options, "no_lock", False) or not (strict or is_there(found)):
        return found
    from bayplan.app import environments

    return environments.held(found, strict=strict)


def lock_timeout(options: Namespace) -> Duration | None:
    """How long to wait for the host; None for ever. Raises DeclarationError."""
    given = getattr(options, "lock_timeout", None)
    try:
        return Duration.parse(given) if given else None
    except ValueError as error:
        raise DeclarationError(f"--lock-timeout: {error}") from error


def project(options: Namespace) -> str:
    """The project's name, given or of the declaration."""
    try:
        return options.project_name or stack(options).name
    except NotFoundError as error:
        error.hint = error.hint and f"{error.hint}, or the project with -p"
        raise


def container_names(options: Namespace, runtime: Runtime) -> list[str]:
    """The containers of the services and containers that are named; all of the project when none is."""
    return [item.id.name for item in containers(options, runtime)]


def writers(options: Namespace, runtime: Runtime) -> list[str]:
    """What has logs: containers, and the services of a swarm. Raises NotFoundError naming what is there."""
    settings: Settings | None = getattr(options, "settings", None)
    if settings is None or settings.engine != "swarm":
        return container_names(options, runtime)
    name, wanted = project(options), tuple(options.service)
    there = sorted(item.id.name for item in runtime.observe(Scope(project=name)).of(Kind.SERVICE))
    final = [one if one in there else f"{name}_{one}" for one in wanted]
    missing = [one for one, given in zip(final, wanted, strict=True) if one not in there and given not in there]
    if missing or not there:
        known = ", ".join(there) or "none"
        raise NotFoundError(f"no service {', '.join(missing) or 'of this project'}", hint=f"there are: {known}")
    return final or there


def containers(options: Namespace, runtime: Runtime, *, none_too: bool = False) -> list[Observed]:
    """Like ``container_names``, with what was observed. Raises NotFoundError naming what is there.

    ``none_too``: a project without containers is no error when none is named.
    """
    from bayplan.load.compose import find_files

    wanted: Sequence[str] = options.service
    if wanted and not options.project_name and not options.file and not find_files(Path.cwd()):
        scope = Scope(names=tuple(ResourceId(kind=Kind.CONTAINER, name=name) for name in wanted))
    else:
        scope = Scope(project=project(options))
    found = [item for item in runtime.observe(scope).of(Kind.CONTAINER) if not item.superseded]
    found.sort(key=lambda item: item.id.name)
    called = [(item.actual.service, item.id.name) for item in found if isinstance(item.actual, Container)]
    missing = [one for one in wanted if not any(one in names for names in called)]
    chosen = [item for item, names in zip(found, called, strict=True) if not wanted or set(names) & set(wanted)]
    if missing or not (chosen or none_too):
        there = ", ".join(sorted({service or name for service, name in called})) or "none"
        raise NotFoundError(f"no container of {', '.join(missing) or 'this project'}", hint=f"there are: {there}")
    return chosen


def show(options: Namespace, data: Any, text: str) -> None:
    """Print the one form or the other; of no text not even an empty line."""
    say(json.dumps(data) if options.json else text)


def say(text: str) -> None:
    """Print lines; nothing when there are none."""
    if text:
        print(text)


def quiet_option(parser: ArgumentParser) -> None:
    """``-q`` of a list: see ``show_list``."""
    parser.add_argument("-q", "--quiet", action="store_true", help="names alone")


def show_list(options: Namespace, data: Any, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a list: under its heads, which stand over an empty one too, or with ``-q`` the names in it alone."""
    if getattr(options, "quiet", False):
        names = [row[head.index("NAME")] for row in rows]
        show(options, names, "\n".join(map(printable, names)))
    else:
        show(options, data, table([head, *([printable(cell) for cell in row] for row in rows)]))


def table(rows: Sequence[Sequence[str]]) -> str:
    """Lines in columns as wide as their widest cell."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
