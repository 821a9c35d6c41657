"""Copies between a tree and a tar, placed by the rules of ``docker cp``, beneath a root that no link leaves."""

from __future__ import annotations

import errno
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from bayplan.errors import ConflictError, NotFoundError
from bayplan.system.beneath import open_in_root
from bayplan.system.pack import directory, pack, unpack


@contextmanager
def host_root() -> Iterator[int]:
    """A descriptor of this host's root."""
    fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def read(root: int, path: str, sink: IO[bytes], called: str = "") -> None:
    """Write ``path`` beneath ``root`` as a tar, its top named ``called`` (its own name). Raises NotFoundError."""
    head, _, name = path.rstrip("/").rpartition("/")
    try:
        with tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            if name in ("", ".", ".."):
                with directory(root, path) as fd:
                    pack(tar, fd, ".", called or ".")
            else:
                with directory(root, head) as fd:
                    pack(tar, fd, name, called or name)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(f"{path} does not exist", hint="look at the path") from error
    except OSError as error:
        raise _refused(path, error) from error


def led_to(root: int, path: str) -> str:
    """The path without links: where it leads to beneath ``root``. Raises NotFoundError."""
    try:
        fd = open_in_root(root, path, os.O_PATH)
    except OSError as error:
        what = f"{path} does not exist, or is a link that leads nowhere"
        raise NotFoundError(what, hint="look at the path") from error
    top = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)
    try:
        # As the kernel shows both: in a mount namespace of its own the root has another name here.
        whole, above = (Path(f"/proc/self/fd/{item}").readlink() for item in (fd, top))
        return "/" + os.path.relpath(whole, above) + ("/." if path.endswith("/.") else "")
    finally:
        os.close(fd)
        os.close(top)


def looker(root: int) -> Callable[[str], bool | None]:
    """``is_directory`` beneath a root, as ``place`` takes it."""
    return lambda path: is_directory(root, path)


def write(root: int, path: str, source: IO[bytes]) -> None:
    """Unpack a tar into the directory ``path`` beneath ``root``. Raises NotFoundError, and as ``pack.unpack``."""
    try:
        with directory(root, path) as fd:
            unpack(source, fd)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(f"directory {path} does not exist", hint="make it first") from error
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: str, error: OSError) -> Exception:
    return ConflictError(f"{path}: {error.strerror}") if error.errno == errno.ELOOP else error


def is_directory(root: int, path: str) -> bool | None:
    """Whether there is a directory; None when the path leads to nothing. Links are followed beneath ``root``."""
    try:
        fd = open_in_root(root, path, os.O_PATH)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise
    try:
        return stat.S_ISDIR(os.fstat(fd).st_mode)
    finally:
        os.close(fd)


def place(look: Callable[[str], bool | None], source: str, target: str) -> tuple[str, str]:
    """Directory and name at which ``source`` comes to lie for ``target`` (docker cp, the rules of DEST_PATH).

    ``look`` says of a path there whether it is a directory; None when there is nothing.
    """
    base = Path(source).name
    if source.endswith("/."):
        base = "."
    if look(target):
        return target, base
    if target.endswith("/") and look(target) is None and base != ".":
        raise NotFoundError(f"directory {target} does not exist", hint="make it first")
    head, _, name = target.rstrip("/").rpartition("/")
    return head or "/", name
