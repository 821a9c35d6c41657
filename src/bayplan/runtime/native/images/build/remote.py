"""Sources of ADD that are elsewhere (Dockerfile reference, "Adding files from a remote URL"). Reads only."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol
from urllib.parse import unquote, urlsplit

from bayplan.models.git_url import GitUrl
from bayplan.runtime.dockerfile.instructions import Instruction
from bayplan.runtime.native.images.build.files import Entry, Files
from bayplan.runtime.native.images.build.repositories import repository
from bayplan.runtime.native.images.build.select import Group

_CHECKSUM = re.compile(r"sha256:([0-9a-f]{64})")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_MODE = 0o600


class Stage(Protocol):
    """What is asked of the stage."""

    files: Files

    def expand(self, item: Instruction, text: str) -> str:
        """A word with its variables replaced. Raises ValueError."""


def split(item: Instruction, stage: Stage, words: Sequence[str]) -> tuple[list[Group], list[str]]:
    """What is to be fetched, a group for each, and the words that are none.

    Raises DeclarationError for what cannot be fetched, and as ``Repositories.commit``.
    """
    checksum = stage.expand(item, item.flag("checksum") or "")
    found: list[Group] = []
    left = list(words[-1:])
    for word in reversed(words[:-1]):
        if url := repository(word):
            found.insert(0, _tree(item, stage, url, checksum))
        elif word.startswith(("http://", "https://")):
            entry = _entry(item, stage, word, _sha256(item, checksum), is_named=words[-1].endswith("/"))
            found.insert(0, (entry,))
        else:
            left.insert(0, word)
    if item.flag("keep-git-dir") not in (None, "false"):
        why = "a repository's own files are others each time it is fetched, and so would be the image"
        raise item.wrong(f"--keep-git-dir: {why}", "name the commit in an ARG, or clone in a RUN")
    if checksum and (len(found) != 1 or len(left) != 1):
        raise item.wrong("--checksum is for one URL", "one source, and the destination")
    return found, left


def unpacks(item: Instruction) -> bool | None:
    """What ``--unpack`` says. Raises DeclarationError."""
    text = item.flag("unpack")
    if text not in (None, "true", "false"):
        raise item.wrong(f"--unpack={text} is neither true nor false")
    return None if text is None else text == "true"


def _sha256(item: Instruction, text: str) -> str:
    match = _CHECKSUM.fullmatch(text)
    if text and not match:
        raise item.wrong(f"--checksum={text} is no sha256 digest", "sha256: and 64 digits of hexadecimal")
    return match[1] if match else ""


def _tree(item: Instruction, stage: Stage, url: GitUrl, checksum: str) -> Group:
    """All files of a repository's commit; one entry that says where they are from while they are not here."""
    if checksum and not _COMMIT.fullmatch(checksum):
        raise item.wrong(f"--checksum={checksum} is no commit", "the hash of the commit, or its begin")
    if unpacks(item) is not None:
        raise item.wrong("--unpack is for URLs of archives")
    if stage.files.repositories is None:
        return (Entry("", "repository", "git", 0o755, url=str(url)),)
    commit = stage.files.repositories.commit(replace(url, checksum=checksum or url.checksum))
    pinned = replace(url, ref=commit, checksum="")
    tree = stage.files.repositories.tree(pinned, commit)
    if tree is None:
        return (Entry("", "repository", "git", 0o755, url=str(pinned)),)
    with Files(tree) as files:
        return tuple(replace(entry, url=str(pinned), root=tree) for entry in files.entries(""))


def _entry(item: Instruction, stage: Stage, url: str, checksum: str, *, is_named: bool) -> Entry:
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise item.wrong(f"{url} is no URL")
    if parts.username or parts.password:
        raise item.wrong("a URL with a user or password would be kept", "RUN --mount=type=secret fetches with a secret")
    name = posixpath.basename(unquote(parts.path))
    if is_named and name in ("", ".", ".."):
        raise item.wrong(f"{url} names no file", "write the file's name as the destination, without / at its end")
    content = checksum or (stage.files.urls.known(url) if stage.files.urls is not None else "")
    kind = "archive" if unpacks(item) else "file"
    return Entry("", name or "file", kind, _MODE, content, url=url)
