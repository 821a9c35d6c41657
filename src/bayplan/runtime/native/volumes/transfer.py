"""A volume's content as a tar archive, out and in."""

from __future__ import annotations

import os
import secrets
import subprocess
from pathlib import Path
from typing import BinaryIO

from bayplan.errors import ConflictError, CorruptStateError, RuntimeFailureError
from bayplan.runtime.native.images.archive import Unpacker
from bayplan.system import mounts, trees
from bayplan.system.beneath import syncfs

_ASIDE = "_import-"


def export(data: Path, out: BinaryIO) -> None:
    """Write ``data`` as a pax archive with numeric owners, ACLs and extended attributes, in the order of names.

    By tar(1), which knows sparse files and links. Raises RuntimeFailureError; the archive is then not whole.
    """
    kept = ("--numeric-owner", "--acls", "--xattrs", "--xattrs-include=*", "--sparse", "--sort=name", "--format=pax")
    # tar says 1 when a file changed while it was read: a backup of a running program says so, and is none.
    done = subprocess.run(
        ["tar", "--create", *kept, "--directory", str(data), "."],
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        output = done.stderr.decode(errors="replace").strip()
        raise RuntimeFailureError(f"the export is not whole: {output}", hint="stop what writes to it", output=output)


def load(data: Path, source: BinaryIO, *, replace: bool) -> None:
    """Fill ``data`` from a plain tar archive; all of it or nothing, and no entry leads out of it.

    Raises ConflictError when there is something and not ``replace``, CorruptStateError for a broken archive.
    """
    if any(data.iterdir()) and not replace:
        raise ConflictError(f"volume {data.parent.name} is not empty", hint="--replace takes the archive instead")
    aside = data.with_name(f"{_ASIDE}{secrets.token_hex(4)}")
    aside.mkdir()
    aside.chmod(0o755)  # whatever the umask
    try:
        _unpack(aside, source)
        if mounts.is_mounted(data):
            _move_content(aside, data)
        else:
            old = data.with_name(f"{_ASIDE}old-{secrets.token_hex(4)}")
            data.rename(old)
            aside.rename(data)
            trees.remove(old)
    finally:
        trees.remove(aside, ignore_errors=True)


def mend(data: Path) -> None:
    """Bring in order what a killed import left: the old content comes back when the new is not in its place yet."""
    for old in data.parent.glob(f"{_ASIDE}old-*"):
        if data.is_dir():
            trees.remove(old)
        else:
            old.rename(data)
    for left in data.parent.glob(f"{_ASIDE}*"):
        trees.remove(left)


def _unpack(target: Path, source: BinaryIO) -> None:
    fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        Unpacker(fd, whiteouts=False).unpack(source)
        syncfs(fd)
    except (ValueError, OverflowError) as error:
        raise CorruptStateError(f"the archive cannot be read: {error}", hint="give a plain tar archive") from error
    finally:
        os.close(fd)


def _move_content(source: Path, data: Path) -> None:
    """Into a mount there is no renaming: cleared, then copied."""
    for item in data.iterdir():
        trees.remove(item) if item.is_dir() and not item.is_symlink() else item.unlink()
    done = subprocess.run(["cp", "-a", "--", f"{source}/.", str(data)], capture_output=True, check=False)
    if done.returncode:
        output = done.stderr.decode(errors="replace").strip()
        raise RuntimeFailureError(f"the import stopped half-way: {output}", output=output)
