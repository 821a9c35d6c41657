"""Images as archives: saved, loaded, and made of a plain tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bayplan.errors import ConflictError, CorruptStateError, NotFoundError, RuntimeFailureError, UnsupportedError
from bayplan.runtime.engine_api.bases import whole_id
from bayplan.runtime.engine_api.client import EngineClient, told
from bayplan.runtime.engine_api.images.transfer import checked, lines

_TAR = {"Content-Type": "application/x-tar"}
_PIECE = 1 << 20
_WRITES_OCI = (25,)
"""From Docker 25 on what it saves is an OCI layout too."""


def save(client: EngineClient, names: Sequence[str], target: Path | BinaryIO, form: str) -> None:
    """Write images as a ``form`` of ``ImageVerbs.save``. Raises ConflictError when the path is there already."""
    if form == "oci-dir" or (form == "oci-archive" and client.kind == "docker" and not _writes_oci(client)):
        raise UnsupportedError(
            f"{client.kind} {client.engine_version} cannot save the form {form}", hint="save it as docker-archive"
        )
    with told(f"image {', '.join(names)}"), _opened(target) as out:
        for piece in _pieces(client, names, form):
            out.write(piece)


def _pieces(client: EngineClient, names: Sequence[str], form: str) -> Iterator[bytes]:
    if client.kind == "podman":
        query = {"format": form, "references": tuple(names)}
        return client.streamed("GET", "/images/export", query=query, own=True)
    return client.streamed("GET", "/images/get", query={"names": tuple(names)})


def _writes_oci(client: EngineClient) -> bool:
    major = client.engine_version.partition(".")[0]
    return major.isdigit() and int(major) >= _WRITES_OCI[0]


@contextmanager
def _opened(target: Path | BinaryIO) -> Iterator[BinaryIO]:
    """A new file, which is not there when its writing failed; a stream as it is."""
    if not isinstance(target, Path):
        yield target
        return
    try:
        file = target.open("xb")
    except FileExistsError as error:
        raise ConflictError(
            "exists already", where=str(target), hint="name another place, or remove it first"
        ) from error
    try:
        with file:
            yield file
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def load(client: EngineClient, source: Path | BinaryIO) -> list[str]:
    """Take the images of an archive; their names, else their ids. Raises CorruptStateError for an unsound one."""
    if isinstance(source, Path) and source.is_dir():
        raise UnsupportedError(
            f"{client.kind} {client.engine_version} cannot load a directory", hint="pack it as a tar: oci-archive"
        )
    found: list[str] = []
    with _read(source) as pieces:
        try:
            with told("image archive"):
                answer = client.streamed("POST", "/images/load", headers=_TAR, data=pieces)
                for event in checked(lines(answer), "image archive"):
                    found += _loaded(str(event.get("stream") or ""))
        except (RuntimeFailureError, NotFoundError) as error:
            raise CorruptStateError(f"the archive is not sound: {error.what}", where=str(source)) from error
    return found


def _loaded(text: str) -> list[str]:
    found = []
    for line in text.splitlines():
        for head in ("Loaded image ID: ", "Loaded image: ", "Loaded image(s): "):
            if line.startswith(head):
                names = (item.strip() for item in line.removeprefix(head).split(","))
                found += [item.removeprefix("@") for item in names if item]
    return found


def import_tree(client: EngineClient, source: Path | BinaryIO, comment: str) -> str:
    """An image of one layer from a tar, without a name; its id."""
    query, image_id = {"fromSrc": "-", "message": comment or None}, ""
    with _read(source) as pieces, told("image"):
        answer = client.streamed("POST", "/images/create", query=query, headers=_TAR, data=pieces)
        for event in checked(lines(answer), "image"):
            image_id = str(event.get("status") or image_id)
    return whole_id(image_id.strip())


@contextmanager
def _read(source: Path | BinaryIO) -> Iterator[Iterator[bytes]]:
    if isinstance(source, Path):
        try:
            file = source.open("rb")
        except OSError as error:
            raise NotFoundError(f"{source} cannot be read: {error.strerror}") from error
        with file:
            yield iter(lambda: file.read(_PIECE), b"")
    else:
        yield iter(lambda: source.read(_PIECE), b"")
