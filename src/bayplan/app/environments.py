"""The verbs that keep environments the same: locks and comparisons."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from bayplan.errors import DeclarationError, NotFoundError, UnsupportedError
from bayplan.models import Kind, Settings, Stack
from bayplan.reconcile.planner import default_scope
from bayplan.record.generations import Generation, Generations
from bayplan.record.journal import Journal
from bayplan.resolve import lockfile, pins
from bayplan.resolve.beside import beside
from bayplan.resolve.lockfile import Lock
from bayplan.resolve.locking import Locker, Moved, moved, of_services
from bayplan.resolve.report import Report, of_host
from bayplan.resolve.report import read as read_report
from bayplan.runtime.protocol import Runtime, Scope, Snapshot
from bayplan.system.ssh import Remote, ask

_log = logging.getLogger("bayplan.lock")


def held(stack: Stack, *, strict: bool = False) -> Stack:
    """The declaration at the digests of the lock beside it, where there is one.

    ``strict`` refuses what the lock has not; else a warning says so. Raises DeclarationError, NotFoundError.
    """
    path = beside(stack)
    if path is None or not path.is_file():
        if strict:
            where = str(path) if path else "declaration"
            raise NotFoundError("there is no lock beside the declaration", where=where, hint="`bayplan lock` makes one")
        return stack
    found, missing = pins.held(stack, lockfile.read(path), str(path), strict=strict)
    for what in missing:
        _log.warning("%s: %s (`bayplan lock` takes it in)", path, what)
    return found


def lock(
    stack: Stack, runtime: Runtime, settings: Settings, *, upgrade: Sequence[str] | None = None
) -> tuple[Path, Sequence[Moved]]:
    """Write the lock of a declaration; its path, and what is otherwise than before. ``upgrade``: services; () is all.

    Raises NotFoundError for a service or image that is nowhere, UnavailableError when a registry does not answer.
    """
    path, old = _old(stack)
    names = None if upgrade is None else of_services(stack, upgrade)
    made = _locker(stack, runtime, settings).lock(old, upgrade=names)
    if made != old or not path.is_file():
        lockfile.write(path, made)
    return path, tuple(moved(old, made))


def check_lock(stack: Stack, runtime: Runtime, settings: Settings) -> tuple[Path, Sequence[Moved]]:
    """What moved since the lock was written, in the declaration and upstream. Reads only. Raises as ``lock``."""
    path, old = _old(stack)
    if not path.is_file():
        raise NotFoundError("there is no lock beside the declaration", where=str(path), hint="`bayplan lock` makes one")
    locker = _locker(stack, runtime, settings)
    now = locker.lock(old)
    return path, tuple(moved(old, now, locker.lock(old, upgrade=())))


def report(project: str, runtime: Runtime, settings: Settings) -> Report:
    """What a project declared last on this host, and what of it runs. Reads only.

    Raises NotFoundError when there is nothing of it, UnsupportedError for a swarm.
    """
    facts = runtime.facts()
    if facts.engine == "swarm":
        raise UnsupportedError("what a swarm runs is not compared", hint="compare the declarations: name their files")
    made = _last(project, settings)
    scope = default_scope(made.stack) if made else Scope(project=project)
    there = [item for item in runtime.observe(scope).resources.values() if item.id.kind is not Kind.IMAGE]
    if made is not None:
        pairs = [(made.stack.find(item.id), item) for item in there]
        there = [runtime.aligned(declared, item) if declared else item for declared, item in pairs]
    return of_host(made, Snapshot({item.id: item for item in there}), facts, project)


def _last(project: str, settings: Settings) -> Generation | None:
    """The last generation; None where none is kept. A damaged one is an error: what was declared is not known."""
    journal = Journal(settings.state_root / "record.db", to_read=True)
    try:
        kept = Generations(journal)
        numbers = kept.numbers(project)
        return kept.get(project, numbers[-1]) if numbers else None
    finally:
        journal.close()


def remote_report(project: str, remote: Remote, bridge: str) -> Report:
    """That of another host, by the bridge there. Raises UnavailableError, RuntimeFailureError."""
    request = {"verb": "report", "stack": {"project_name": project}}
    return read_report(ask(remote, bridge, request).get("report"), f"host {remote.host}")


def _old(stack: Stack) -> tuple[Path, Lock]:
    path = beside(stack)
    if path is None:
        raise DeclarationError("a declaration that was read from no file has no place for a lock")
    return path, lockfile.read(path) if path.is_file() else Lock()


def _locker(stack: Stack, runtime: Runtime, settings: Settings) -> Locker:
    from bayplan.registry.client import RegistryClient

    return Locker(pins.loose(stack), runtime, RegistryClient(settings))
