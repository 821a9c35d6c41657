"""The verbs that keep environments the same: locks, comparisons, bundles. Beside ``app``, in the same manner."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from bayplan.errors import DeclarationError, NotFoundError
from bayplan.models import Settings, Stack
from bayplan.resolve import lockfile, pins
from bayplan.resolve.lockfile import Lock
from bayplan.resolve.locking import Locker, Moved, moved, of_services
from bayplan.runtime.protocol import Runtime

_log = logging.getLogger("bayplan.lock")


def held(stack: Stack, *, strict: bool = False) -> Stack:
    """The declaration at the digests of the lock beside it, where there is one.

    ``strict`` refuses what the lock has not; else a warning says so. Raises DeclarationError, NotFoundError.
    """
    path = lockfile.beside(stack)
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


def _old(stack: Stack) -> tuple[Path, Lock]:
    path = lockfile.beside(stack)
    if path is None:
        raise DeclarationError("a declaration that was read from no file has no place for a lock")
    return path, lockfile.read(path) if path.is_file() else Lock()


def _locker(stack: Stack, runtime: Runtime, settings: Settings) -> Locker:
    from bayplan.registry.client import RegistryClient

    return Locker(pins.loose(stack), runtime, RegistryClient(settings))
