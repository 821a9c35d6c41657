"""Files into and out of containers, only when they differ by content, mode or owner."""

from __future__ import annotations

import base64
import binascii
import io
import posixpath
import tarfile
import tempfile
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from bayplan.bridge import trees
from bayplan.bridge.answers import differing
from bayplan.bridge.inside import the_container
from bayplan.bridge.masking import masked
from bayplan.bridge.rooms import Asked
from bayplan.errors import DeclarationError, NotFoundError
from bayplan.models.types import absolute
from bayplan.runtime.protocol import Runtime

_SHOWN_BYTES = 100_000
_ONE_OF = ("content", "path", "dest")


def container_copy(asked: Asked) -> dict[str, Any]:
    """Content or a path of the host into the container, or a path of the container out to the host."""
    given = [name for name in _ONE_OF if asked.options.get(name) is not None]
    if len(given) != 1:
        raise DeclarationError("give one of content, path (into the container) and dest (out of it)", where=asked.verb)
    name = asked.text("container")
    try:
        inner = absolute(asked.text("container_path"))
    except ValueError as error:
        raise DeclarationError(f"container_path: {error}", where=asked.verb) from error
    with asked.opened() as (runtime, _):
        the_container(runtime, name)
        with runtime.lock(f"copy of files of {name}"):
            return _out(asked, runtime, name, inner) if given == ["dest"] else _into(asked, runtime, name, inner)


def _into(asked: Asked, runtime: Runtime, name: str, inner: str) -> dict[str, Any]:
    folder, base = posixpath.split(inner)
    if not base:
        raise DeclarationError("container_path names no file", where=asked.verb, hint="such as /etc/app.conf")
    with tempfile.TemporaryFile() as there, tempfile.TemporaryFile() as wanted:
        now = _copied(runtime, name, inner, there, follow=_follows(asked))
        _packed(asked, base, cast("BinaryIO", wanted), now.get(base))
        new = _rewound(wanted)
        changed = bool(asked.options.get("force")) or any(now.get(key) != entry for key, entry in new.items())
        if changed and not asked.check:
            wanted.seek(0)
            runtime.copy_in(name, None, folder, wanted, follow=_follows(asked))
        texts = (_text(there, now, base), _text(wanted, new, base))
    return differing(changed, *texts, container_path=inner)


def _out(asked: Asked, runtime: Runtime, name: str, inner: str) -> dict[str, Any]:
    dest, base = Path(asked.text("dest")), posixpath.basename(inner)
    if not dest.is_absolute() or not dest.parent.is_dir():
        raise NotFoundError(f"dest {str(dest)!r} is no path in a directory that is there", where=asked.verb)
    with tempfile.TemporaryFile() as there:
        found = _copied(runtime, name, inner, there, follow=_follows(asked))
        if not found:
            raise NotFoundError(f"{inner} does not exist in container {name}", where=asked.verb)
        wanted = {key.removeprefix(base).lstrip("/"): entry for key, entry in found.items()}
        now = trees.of_path(dest)
        changed = bool(asked.options.get("force")) or any(now.get(key) != entry for key, entry in wanted.items())
        after = _text(there, found, base)
    before = dest.read_bytes()[:_SHOWN_BYTES].decode(errors="replace") if dest.is_file() else ""
    if changed and not asked.check:
        if wanted[""].kind == "directory":
            dest.mkdir(exist_ok=True)
            runtime.copy_out(name, f"{inner}/.", str(dest), io.BytesIO(), follow=_follows(asked))
        else:
            runtime.copy_out(name, inner, str(dest), io.BytesIO(), follow=_follows(asked))
    return differing(changed, before, after, container_path=inner, dest=str(dest))


def _packed(asked: Asked, base: str, out: BinaryIO, now: trees.Entry | None) -> None:
    """The archive that is to be there; mode and owner that nobody gives are those of what is there, or the source's."""
    options, where = asked.options, asked.verb
    mode, owner = _mode(asked), (options.get("owner_id"), options.get("group_id"))
    kept = now if now is not None and now.kind == "file" else None
    if options.get("content") is None:
        trees.pack(Path(asked.text("path")), base, out, mode=mode, owner=owner)
        return
    try:
        text = str(options["content"])
        data = base64.b64decode(text, validate=True) if options.get("content_is_b64") else text.encode()
    except binascii.Error as error:
        raise DeclarationError(f"content is not base64: {error}", where=where) from error
    mode = mode if mode is not None else kept.mode if kept else 0o644
    default = kept.owner if kept else (0, 0)
    owners = tuple(old if new is None else int(new) for new, old in zip(owner, default, strict=True))
    trees.pack_bytes(data, base, out, mode=mode, owner=(owners[0], owners[1]))


def _copied(runtime: Runtime, name: str, inner: str, sink: IO[bytes], *, follow: bool) -> dict[str, trees.Entry]:
    """The entries of a path in the container; none when it is not there."""
    try:
        runtime.copy_out(name, inner, None, sink, follow=follow)
    except NotFoundError:
        return {}
    return _rewound(sink)


def _rewound(archive: IO[bytes]) -> dict[str, trees.Entry]:
    archive.seek(0)
    return trees.entries(archive)


def _follows(asked: Asked) -> bool:
    return bool(asked.options.get("follow"))


def _mode(asked: Asked) -> int | None:
    """Octal digits in a string; a number as it is, which YAML has read as octal already."""
    given = asked.options.get("mode")
    if given is None:
        return None
    try:
        mode = given if isinstance(given, int) else int(str(given), 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise DeclarationError(
            f"mode {given!r} is none", where=asked.verb, hint='octal digits in quotes, such as "0644"'
        )
    return int(mode)


def _text(archive: IO[bytes], found: dict[str, trees.Entry], base: str) -> str:
    """What a difference shows: one small file's text, else a line for each entry."""
    alone = found.get(base)
    if alone is None:
        return ""
    if alone.kind != "file":
        return "".join(sorted(f"{_row(name, one)} {one.content[:12]}\n" for name, one in found.items()))
    archive.seek(0)
    with tarfile.open(fileobj=archive) as tar:
        file = tar.extractfile(next(iter(tar)))
        data = file.read(_SHOWN_BYTES + 1) if file else b""
    plain = len(data) <= _SHOWN_BYTES and b"\0" not in data
    text = masked(data.decode(errors="replace")) if plain else f"# {alone.content}\n"
    return f"# {_row(base, alone)}\n{text}"


def _row(name: str, entry: trees.Entry) -> str:
    return f"{name} {entry.kind} {entry.mode:04o} {entry.owner[0]}:{entry.owner[1]}"
