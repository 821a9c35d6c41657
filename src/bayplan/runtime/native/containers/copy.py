"""Files copied into and out of a container, live or stopped (docker cp)."""

from __future__ import annotations

import errno
import os
import stat
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from bayplan.errors import ConflictError, NotFoundError
from bayplan.models import TmpfsMount
from bayplan.runtime.native.containers import lifecycle, stopped
from bayplan.runtime.native.containers.containers import Containers
from bayplan.runtime.native.containers.pack import directory, pack, unpack
from bayplan.runtime.native.containers.paths import Paths
from bayplan.runtime.native.containers.spec.users import refuse_shifted
from bayplan.system import mounts, namespaces
from bayplan.system.beneath import open_in_root
from bayplan.system.files import private_directory


def with_root(
    containers: Containers, container_id: str, path: str, work: Callable[[int], None], volumes: Mapping[str, Path]
) -> None:
    """Call ``work`` with a descriptor of the container's root: of the process, else of its layers and mounts.

    ``volumes`` are names to directories. Of a stopped one, a path in memory raises ConflictError.
    """
    refuse_shifted(containers.facts(container_id), containers.declared(container_id).name)
    process = containers.process(container_id)
    if process:
        root = os.open(f"/proc/{process.pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if not process.alive:  # the pid may have become another's
                raise ConflictError(f"container {container_id[:12]} ended meanwhile", hint="try again")
            work(root)
        finally:
            os.close(root)
        return
    declared, paths = containers.declared(container_id), Paths.of(containers.settings, container_id)
    for item in declared.mounts:
        if isinstance(item, TmpfsMount) and f"{os.path.normpath(path)}/".startswith(f"{item.target}/"):
            raise ConflictError(f"{path} is in memory, and {declared.name} does not run", hint="start it first")
    layers = containers.layers(container_id)

    def mounted() -> None:
        for place in (paths.data, paths.work, paths.rootfs):
            private_directory(place)
        lifecycle.make_upper(paths)
        mounts.mount_overlay(layers, paths.upper, paths.work, paths.rootfs)
        stopped.show(declared, containers.facts(container_id), paths, volumes)
        root = os.open(paths.rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            work(root)
        finally:
            os.close(root)

    namespaces.in_private_mounts(mounted)


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


def led_to(root: int, path: str) -> str:
    """The path without links: where it leads to beneath ``root``. Raises NotFoundError."""
    try:
        fd = open_in_root(root, path, os.O_PATH)
    except OSError as error:
        raise NotFoundError(
            f"{path} does not exist, or is a link that leads nowhere", hint="look at the path"
        ) from error
    top = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)
    try:
        # As the kernel shows both: in a mount namespace of its own the root has another name here.
        whole, above = (Path(f"/proc/self/fd/{item}").readlink() for item in (fd, top))
        return "/" + os.path.relpath(whole, above) + ("/." if path.endswith("/.") else "")
    finally:
        os.close(fd)
        os.close(top)


def write(root: int, path: str, source: IO[bytes]) -> None:
    """Unpack a tar into the directory ``path`` beneath ``root``. Raises NotFoundError."""
    try:
        with directory(root, path) as fd:
            unpack(source, fd)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(f"directory {path} does not exist", hint="make it first") from error
    except OSError as error:
        if error.errno in (errno.EROFS, errno.ELOOP):
            raise ConflictError(f"{path}: {error.strerror}") from error
        raise


def is_directory(root: int, path: str) -> bool | None:
    """Whether there is a directory; None when there is nothing. Links are followed beneath ``root``."""
    try:
        fd = open_in_root(root, path, os.O_PATH)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return stat.S_ISDIR(os.fstat(fd).st_mode)
    finally:
        os.close(fd)


def place(root: int, source: str, target: str) -> tuple[str, str]:
    """Directory and name at which ``source`` comes to lie for ``target`` (docker cp, the rules of DEST_PATH)."""
    base = Path(source).name
    if source.endswith("/."):
        base = "."
    if is_directory(root, target):
        return target, base
    if target.endswith("/") and is_directory(root, target) is None and base != ".":
        raise NotFoundError(f"directory {target} does not exist", hint="make it first")
    head, _, name = target.rstrip("/").rpartition("/")
    return head or "/", name
