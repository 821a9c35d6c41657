"""Secrets and configs of containers: files in memory, named by number.

Their content is in no record: the declaration brings it, at a create and at each start by an apply. What is recorded
is a keyed hash, by which a change is seen; the key is the host's own.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pydantic import SecretBytes

from bayplan.errors import RuntimeFailureError, UnsupportedError
from bayplan.models import Container, FileGrant, Settings
from bayplan.runtime.seal import key

_SHARED = Path("/dev/shm")  # noqa: S108 - a directory of our own in it, checked
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})


def entries(container: Container, settings: Settings, container_id: str) -> Iterator[tuple[FileGrant, Path]]:
    """Each grant and its file on the host."""
    top = place(settings) / container_id if container.secrets or container.configs else Path()
    for number, grant in enumerate((*container.secrets, *container.configs)):
        yield grant, top / str(number)


def write(container: Container, settings: Settings, container_id: str) -> None:
    """Write what the declaration brings. Raises UnsupportedError where there is no place in memory."""
    for grant, file in entries(container, settings, container_id):
        if grant.content is not None:
            _write(grant, file)


def _write(grant: FileGrant, file: Path) -> None:
    assert grant.content is not None
    file.parent.parent.parent.mkdir(parents=True, exist_ok=True, mode=0o700)  # the run root of the first container
    for directory in (file.parent.parent, file.parent):
        _make_own(directory)
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as out:
        out.write(grant.content.get_secret_value())
        os.fchown(out.fileno(), grant.uid, grant.gid)
        os.fchmod(out.fileno(), grant.mode)


def _make_own(directory: Path) -> None:
    """A directory that only we can look into; where everybody may write, somebody else may have been first."""
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise UnsupportedError("somebody else's directory is where secrets go", where=str(directory), hint="remove it")


def restore(container: Container, settings: Settings, container_id: str) -> None:
    """Bring back what a reboot took from memory and whose file still holds just that; the rest is for an apply."""
    held = key(settings)
    for grant, file in entries(container, settings, container_id):
        if file.exists() or grant.file is None or not grant.fingerprint:
            continue
        try:
            content = Path(grant.file).read_bytes()
        except OSError:
            continue
        brought = grant.model_copy(update={"content": SecretBytes(content)})
        if brought.sealed(held).fingerprint == grant.fingerprint:
            _write(brought, file)


def check_there(container: Container, settings: Settings, container_id: str) -> None:
    """Raise RuntimeFailureError when a file is gone, as after a reboot."""
    for grant, file in entries(container, settings, container_id):
        if not file.exists():
            raise RuntimeFailureError(
                f"{grant.source} is no longer in memory",
                where=f"container {container.name}",
                hint="apply again: the declaration brings it",
            )


def remove(settings: Settings, container_id: str) -> None:
    """Remove the container's files; none is no error."""
    try:
        directory = place(settings) / container_id
    except UnsupportedError:  # then none was ever written
        return
    if directory.parent.is_dir():
        shutil.rmtree(directory, ignore_errors=True)
        with suppress(OSError):  # others' are there
            directory.parent.rmdir()


@functools.cache
def place(settings: Settings) -> Path:
    """Where the files are: below the run root, or where that is not in memory, in /dev/shm.

    Raises UnsupportedError when neither is in memory.
    """
    if _in_memory(settings.run_root):
        return settings.run_root / "secrets"
    if _in_memory(_SHARED):
        return _SHARED / f"bayplan-{hashlib.sha256(str(settings.run_root).encode()).hexdigest()[:16]}"
    raise UnsupportedError(
        "secrets need a place in memory", where=str(settings.run_root), hint="set run_root to a directory on tmpfs"
    )


def _in_memory(path: Path) -> bool:
    there = next(item for item in (path, *path.parents) if item.exists())
    number = there.stat().st_dev
    wanted = f"{os.major(number)}:{os.minor(number)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        if fields.split()[2] == wanted and rest.split()[0] in _IN_MEMORY:
            return True
    return False
