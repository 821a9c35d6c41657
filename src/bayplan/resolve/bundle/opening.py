"""What of a bundle is applied: its files put in place, secrets of now, images by their digests and from no registry."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretBytes

from bayplan.errors import ConflictError, DeclarationError
from bayplan.models import Container, FileGrant, Image, PullPolicy, Stack
from bayplan.resolve.bundle.contents import Bundle
from bayplan.resolve.bundle.reading import OpenBundle
from bayplan.resolve.bundle.rebase import moved
from bayplan.runtime.protocol import Snapshot
from bayplan.system.beneath import open_in_root

_PIECE = 1 << 20


@dataclass(frozen=True)
class Given:
    """What no bundle has. ``environment``: values of variables; ``secrets``: contents by the secrets' names."""

    environment: Mapping[str, str]
    secrets: Mapping[str, bytes]


def declared(made: OpenBundle, directory: Path, given: Given, snapshot: Snapshot) -> Stack:
    """The declaration with its files in ``directory``, and the secrets that are given, or that run here now.

    Raises DeclarationError naming what nobody has.
    """
    stack = moved(made.bundle.stack, str(directory))
    containers = tuple(_container(item, made, given, snapshot) for item in stack.containers)
    pinned = tuple(_pinned(item, made.bundle) for item in stack.images)
    return stack.model_copy(update={"containers": containers, "images": pinned})


def applied(stack: Stack) -> Stack:
    """The same with images that were built taken as they are in the bundle: nothing is built, nothing asked for."""
    images = tuple(item.model_copy(update={"build": None, "pull": PullPolicy.NEVER}) for item in stack.images)
    return stack.model_copy(update={"images": images})


def put_files(made: OpenBundle, directory: Path) -> None:
    """Write the declaration's files below a directory, which no name in the bundle can lead out of.

    Raises ConflictError where something of another kind is in the way.
    """
    members = list(made.files())
    if not members:
        return
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    top = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for member in members:
            parent, _, base = member.name.rpartition("/")
            where = f"{directory}/{member.name}"
            try:
                fd = _directory(top, member.name if member.digest is None else parent)
                try:
                    if member.digest is None:
                        os.fchmod(fd, member.mode)
                    else:
                        _write(made, f"files/{member.name}", fd, base, member.mode)
                finally:
                    os.close(fd)
            except (NotADirectoryError, IsADirectoryError, FileExistsError) as error:
                raise ConflictError(
                    f"{error.strerror}", where=where, hint="remove it, or name another --directory"
                ) from error
    finally:
        os.close(top)


def _write(made: OpenBundle, name: str, parent: int, base: str, mode: int) -> None:
    """In place of what was there, at once: what a running container has mounted keeps its content."""
    part = f".{base[:200]}.part"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(part, flags, 0o600, dir_fd=parent)
    with os.fdopen(fd, "wb") as out, made.opened(name) as source:
        shutil.copyfileobj(source, out, _PIECE)
        out.flush()
        os.fchmod(fd, mode)
        os.fsync(fd)
    os.replace(part, base, src_dir_fd=parent, dst_dir_fd=parent)


def _directory(top: int, path: str) -> int:
    """A directory below ``top``, made with what is missing of its parents."""
    flags = os.O_RDONLY | os.O_DIRECTORY
    try:
        return open_in_root(top, path, flags)
    except FileNotFoundError:
        parent, _, base = path.rpartition("/")
    fd = _directory(top, parent)
    try:
        os.mkdir(base, 0o755, dir_fd=fd)
    finally:
        os.close(fd)
    return open_in_root(top, path, flags)


def _pinned(image: Image, bundle: Bundle) -> Image:
    return image.model_copy(update={"pin": bundle.images[str(image.reference)]})


def _container(item: Container, made: OpenBundle, given: Given, snapshot: Snapshot) -> Container:
    there = snapshot.get(item.id)
    withheld = made.bundle.withheld.get(item.name, ())
    known = getattr((there.declared or there.actual) if there else None, "environment", {})
    values = {name: given.environment.get(name, known.get(name)) for name in withheld}
    for name, value in values.items():
        if value is None:
            raise DeclarationError(
                f"the value of {name} is in no bundle, as it may be a secret",
                where=str(item.id),
                hint="give it in the environment, or in an --env-file",
            )
    running = there.actual if there and isinstance(there.actual, Container) else None
    update = {
        "environment": {**item.environment, **values},
        "configs": tuple(_config(item, grant, made) for grant in item.configs),
        "secrets": tuple(_secret(item, grant, given, running) for grant in item.secrets),
    }
    return item.model_copy(update=update)


def _config(item: Container, grant: FileGrant, made: OpenBundle) -> FileGrant:
    digest = made.bundle.contents.get(f"{item.name}/{grant.source}")
    if digest is None:
        return grant
    content = SecretBytes(made.content(f"configs/{digest}"))
    return grant.model_copy(update={"content": content, "file": None, "fingerprint": ""})


def _secret(item: Container, grant: FileGrant, given: Given, running: Container | None) -> FileGrant:
    """Its content as given, of its file, or what the running container has."""
    if (content := given.secrets.get(grant.source)) is None and grant.file and Path(grant.file).is_file():
        content = Path(grant.file).read_bytes()
    if content is not None:
        return grant.model_copy(update={"content": SecretBytes(content), "fingerprint": ""})
    same = [one for one in running.secrets if one.source == grant.source and one.fingerprint] if running else []
    if same:
        return grant.model_copy(update={"fingerprint": same[0].fingerprint})
    place = f" or put it at {grant.file}" if grant.file else ""
    raise DeclarationError(
        f"what secret {grant.source} holds is in no bundle",
        where=str(item.id),
        hint=f"--secret {grant.source}=FILE{place}",
    )
