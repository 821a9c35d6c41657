"""A bundle written. The same declaration, lock and images give the same bytes: no time, no owner, no host is in it."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from bayplan.errors import DeclarationError, NotFoundError
from bayplan.models import BindMount, Container, Image, Pin, Stack
from bayplan.models.secret import may_be_secret
from bayplan.reconcile.diff import MASK
from bayplan.record.generations import contents_of, without_secrets
from bayplan.resolve.bundle.contents import HOME, IMAGES, INDEX, LOCK, Bundle, Member
from bayplan.resolve.bundle.rebase import moved, own_binds
from bayplan.resolve.canonical import Canon
from bayplan.resolve.fingerprint import fingerprint

_PIECE = 1 << 20
Piece = tuple[Member, bytes | Path | None]
"""A member and where its content is; None for a directory."""


def bundle_of(stack: Stack, images: dict[str, Pin], platform: str, pieces: list[Piece]) -> Bundle:
    """What ``bundle.json`` says of a stack."""
    places = Canon(stack).declared()
    return Bundle(
        fingerprint=fingerprint(places, stack.allowed).digest,
        platform=platform,
        stack=moved(_masked(stack), HOME),
        withheld=without_secrets(stack)[1],
        contents=contents_of(stack),
        images=images,
        members=tuple(member for member, _ in pieces),
    )


def pieces_of(stack: Stack, lock: bytes) -> Iterator[Piece]:
    """Everything but the images. Raises NotFoundError for a file that is gone, DeclarationError for one of no kind."""
    yield _member(LOCK, lock), lock
    contents = {
        grant.content.get_secret_value()
        for item in stack.containers
        for grant in item.configs
        if grant.content is not None
    }
    for content in sorted(contents):
        yield _member(f"configs/{hashlib.sha256(content).hexdigest()}", content), content
    files = {member.name: (member, source) for mount in own_binds(stack) for member, source in _bound(mount, stack)}
    yield from (files[name] for name in sorted(files))


def write(target: IO[bytes], bundle: Bundle, pieces: list[Piece]) -> None:
    """The tar. What the members say of their content is true, or it fails."""
    index = bundle.model_dump_json(exclude_none=True).encode()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, _member(INDEX, index), index)
        for member, source in pieces:
            _add(tar, member, source)


def file_member(name: str, path: Path, mode: int = 0o644) -> Member:
    """A member of a file's content."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            size += len(piece)
    return Member(name=name, size=size, digest=f"sha256:{digest.hexdigest()}", mode=mode)


def images_piece(path: Path) -> Piece:
    """The archive of the images."""
    return file_member(IMAGES, path), path


def _bound(mount: BindMount, stack: Stack) -> Iterator[Piece]:
    """A mounted file; of a directory all below it, when it is mounted read-only: else it holds data."""
    top, source = Path(stack.directory), Path(mount.source)
    name = f"files/{source.relative_to(top)}"
    if source.is_symlink() or not source.exists():
        if mount.create_host_path and not source.is_symlink():
            yield Member(name=name, mode=0o755), None
            return
        raise NotFoundError(f"{source} is not there, or a link", hint="a bundle has plain files and directories")
    if not source.is_dir():
        yield _file(name, source)
        return
    yield Member(name=name, mode=source.stat().st_mode & 0o777), None
    for path in sorted(source.rglob("*")) if mount.read_only else ():
        below = f"files/{path.relative_to(top)}"
        if path.is_dir() and not path.is_symlink():
            yield Member(name=below, mode=path.stat().st_mode & 0o777), None
        else:
            yield _file(below, path)


def _file(name: str, path: Path) -> Piece:
    if path.is_symlink() or not path.is_file():
        raise DeclarationError(f"{path} is no plain file", hint="a bundle has plain files and directories")
    return file_member(name, path, path.stat().st_mode & 0o777), path


def _member(name: str, content: bytes) -> Member:
    return Member(name=name, size=len(content), digest=f"sha256:{hashlib.sha256(content).hexdigest()}")


def _add(tar: tarfile.TarFile, member: Member, source: bytes | Path | None) -> None:
    info = tarfile.TarInfo(member.name)
    info.mode, info.size = member.mode, member.size
    if source is None:
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
    elif isinstance(source, bytes):
        tar.addfile(info, io.BytesIO(source))
    else:
        with source.open("rb") as file:
            tar.addfile(info, file)


def _masked(stack: Stack) -> Stack:
    """Without values that may be secrets; what grants hold is in no dump."""

    def container(item: Container) -> Container:
        environment = {name: MASK if may_be_secret(name, value) else value for name, value in item.environment.items()}
        return item.model_copy(update={"environment": environment})

    def image(item: Image) -> Image:
        if item.build is None:
            return item
        args = {name: MASK if may_be_secret(name, value) else value for name, value in item.build.args.items()}
        return item.model_copy(update={"build": item.build.model_copy(update={"args": args})})

    update = {"containers": tuple(map(container, stack.containers)), "images": tuple(map(image, stack.images))}
    return stack.model_copy(update=update)
