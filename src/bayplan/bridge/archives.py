"""Which images an archive of this host holds, found by reading its lists alone."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bayplan.errors import CorruptStateError, NotFoundError
from bayplan.models import ImageReference

_MOST_BYTES = 8 << 20
_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
_GZIP = b"\x1f\x8b"
Read = Callable[[str], bytes | None]


def images(path: Path) -> dict[str, str]:
    """Name to id (digest of the configuration) of the images of an OCI layout (tar or directory) or a docker-archive.

    One without a name is under its id. Raises NotFoundError, CorruptStateError.
    """
    with _reader(path) as read:
        try:
            if (rows := read("manifest.json")) is not None and read("oci-layout") is None:
                return dict(_docker(json.loads(rows), read))
            index = read("index.json")
            if index is None:
                raise CorruptStateError("neither an OCI image layout nor a docker-archive", where=str(path))
            return dict(_layout(json.loads(index), read))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptStateError(f"its list of images is malformed: {error}", where=str(path)) from error


def diff_id(path: Path) -> str:
    """The digest of a tar as a layer has it: of its plain bytes. Raises NotFoundError, CorruptStateError."""
    found = hashlib.sha256()
    try:
        with path.open("rb") as file:
            is_gzip = file.read(2) == _GZIP
        with gzip.open(path) if is_gzip else path.open("rb") as plain:
            while piece := plain.read(1 << 20):
                found.update(piece)
    except FileNotFoundError as error:
        raise NotFoundError("no such file", where=str(path)) from error
    except (OSError, EOFError) as error:
        raise CorruptStateError(f"cannot be read: {error}", where=str(path)) from error
    return f"sha256:{found.hexdigest()}"


def _layout(index: Any, read: Read) -> Iterator[tuple[str, str]]:
    for entry in index["manifests"]:
        notes = entry.get("annotations") or {}
        name = next((notes[key] for key in _NAMES if "/" in str(notes.get(key)) or ":" in str(notes.get(key))), "")
        found = _document(read, entry["digest"])
        for part in found.get("manifests", ()):
            # Of an index: the platform that is in the archive; loading chooses among several the host's own.
            with contextlib.suppress(CorruptStateError):
                found = _document(read, part["digest"])
                break
        if "config" in found:
            digest = str(found["config"]["digest"])
            yield (str(ImageReference.parse(name)) if name else digest), digest


def _docker(rows: Any, read: Read) -> Iterator[tuple[str, str]]:
    for row in rows:
        data = read(row["Config"])
        if data is None:
            raise CorruptStateError(f"{row['Config']} is missing")
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        for name in row.get("RepoTags") or [None]:
            yield (str(ImageReference.parse(name)) if name else digest), digest


def _document(read: Read, digest: str) -> Any:
    data = read(f"blobs/sha256/{digest.removeprefix('sha256:')}")
    if data is None:
        raise CorruptStateError(f"blob {digest} is missing")
    return json.loads(data)


@contextlib.contextmanager
def _reader(path: Path) -> Iterator[Read]:
    """Small files by their names."""
    if path.is_dir():
        yield lambda name: (path / name).read_bytes() if (path / name).is_file() else None
        return
    try:
        with tarfile.open(path) as tar:
            members = {item.name.removeprefix("./"): item for item in tar if item.isreg()}

            def read(name: str) -> bytes | None:
                item = members.get(name)
                file = tar.extractfile(item) if item is not None and item.size <= _MOST_BYTES else None
                return file.read() if file else None

            yield read
    except FileNotFoundError as error:
        raise NotFoundError("no such file", where=str(path)) from error
    except tarfile.ReadError as error:
        raise CorruptStateError("neither an OCI image layout nor a docker-archive", where=str(path)) from error
    except (tarfile.TarError, EOFError, OSError) as error:
        raise CorruptStateError(f"cannot be read: {error}", where=str(path)) from error
