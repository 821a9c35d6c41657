"""Files in and out of containers (ContainerArchive), placed as the native core places them."""

from __future__ import annotations

import base64
import json
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from bayplan.errors import ConflictError, NotFoundError
from bayplan.runtime.engine_api.answers import AbsentError
from bayplan.runtime.engine_api.client import EngineClient, told
from bayplan.system import copying

_DIRECTORY, _LINK = 1 << 31, 1 << 27
"""Bits of a mode as the engines write it (Go, "io/fs", FileMode)."""
_TAR = {"Content-Type": "application/x-tar"}
_MOST_LINKS = 40
"""As many as the kernel follows (path_resolution(7))."""
_PIECE = 1 << 20


def copy_out(
    client: EngineClient,
    found: Mapping[str, Any],
    path: str,
    target: str | None,
    sink: IO[bytes],
    *,
    follow: bool = False,
) -> None:
    """Copy a path to ``target`` of this host; None: as a tar to ``sink``. Raises NotFoundError."""
    with _told(found, path):
        wanted = _led_to(client, found, path) if follow else path
        pieces = client.streamed("GET", f"/containers/{found['Id']}/archive", query={"path": wanted})
        if target is None:
            for piece in pieces:
                sink.write(piece)
            return
        with copying.host_root() as host, tempfile.TemporaryFile() as spool, tempfile.TemporaryFile() as named:
            whole = str(Path(target).absolute()) + "/" * target.endswith("/")
            head, called = copying.place(copying.looker(host), path, whole)
            for piece in pieces:
                spool.write(piece)
            spool.seek(0)
            _rename(spool, named, called)
            named.seek(0)
            copying.write(host, head, named)


def copy_in(
    client: EngineClient,
    found: Mapping[str, Any],
    source: str | None,
    path: str,
    stream: IO[bytes],
    *,
    follow: bool = False,
) -> None:
    """Copy ``source`` of this host to a path; None: a tar from ``stream`` into that directory. Raises NotFoundError."""
    if source is None:
        _put(client, found, path, stream)
        return
    given = str(Path(source).absolute()) + ("/." if source.endswith("/.") else "")
    with copying.host_root() as host, tempfile.TemporaryFile() as spool:
        head, called = copying.place(lambda there: _is_directory(client, found, there), given, path)
        copying.read(host, copying.led_to(host, given) if follow else given, spool, called)
        spool.seek(0)
        _put(client, found, head, spool)


def _put(client: EngineClient, found: Mapping[str, Any], path: str, stream: IO[bytes]) -> None:
    with _told(found, path, "make the directory first"):
        # Podman's default is the container's user.
        owners = {"copyUIDGID": False} if client.kind == "podman" else {}
        query = {"path": path, "noOverwriteDirNonDir": True, **owners}
        for _ in client.streamed(
            "PUT", f"/containers/{found['Id']}/archive", query=query, headers=_TAR, data=_read(stream)
        ):
            pass


def _read(stream: IO[bytes]) -> Iterator[bytes]:
    """To its end, which a pipe does not tell before."""
    while piece := stream.read(_PIECE):
        yield piece


def _led_to(client: EngineClient, found: Mapping[str, Any], path: str) -> str:
    """Where the link at a path leads to; the path itself when it is none."""
    for _ in range(_MOST_LINKS):
        stat = _stat(client, found, path)
        if not int(stat["mode"]) & _LINK:
            break
        path = str(Path(path).parent / str(stat["linkTarget"]))
    return path


def _is_directory(client: EngineClient, found: Mapping[str, Any], path: str) -> bool | None:
    """Whether there is a directory, links followed; None when there is nothing."""
    for _ in range(_MOST_LINKS):
        try:
            stat = _stat(client, found, path)
        except AbsentError:
            return None
        if not int(stat["mode"]) & _LINK:
            return bool(int(stat["mode"]) & _DIRECTORY)
        path = str(Path(path).parent / str(stat["linkTarget"]))
    return None


def _stat(client: EngineClient, found: Mapping[str, Any], path: str) -> dict[str, Any]:
    """ContainerArchiveInfo: its answer is a header."""
    headers = client.headers_of(f"/containers/{found['Id']}/archive", query={"path": path})
    return dict(json.loads(base64.b64decode(headers["X-Docker-Container-Path-Stat"])))


def _rename(source: IO[bytes], target: IO[bytes], called: str) -> None:
    """The same tar, its top named ``called``; links within it that are named by it, too."""
    with (
        tarfile.open(fileobj=source, mode="r|") as given,
        tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT) as made,
    ):
        top = None
        for info in given:
            if top is None:
                first = info.name.split("/")[0]
                # Contents alone (``DIR/.``): Docker puts them below a dot, Podman as they are.
                top = "" if called == "." and first != "." else first
            info.name = _below(info.name, top, called)
            if info.islnk():
                info.linkname = _below(info.linkname, top, called)
            info.pax_headers = {key: text for key, text in info.pax_headers.items() if key not in ("path", "linkpath")}
            made.addfile(info, given.extractfile(info) if info.isreg() else None)


def _below(name: str, top: str, called: str) -> str:
    first, slash, rest = name.partition("/")
    return called + slash + rest if top and first == top else name


@contextmanager
def _told(found: Mapping[str, Any], path: str, hint: str = "look at the path") -> Iterator[None]:
    name = str(found["Name"]).lstrip("/")
    try:
        with told(f"container {name}"):
            yield
    except NotFoundError as error:
        raise NotFoundError(f"{path} does not exist", where=f"container {name}", hint=hint) from error
    except ConflictError:
        raise
