"""Sources of ADD that are elsewhere (Dockerfile reference, "Adding files from a remote URL"). Reads only."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from typing import Protocol
from urllib.parse import unquote, urlsplit

from bayplan.runtime.dockerfile.instructions import Instruction
from bayplan.runtime.native.images.build.files import Entry, Files

_CHECKSUM = re.compile(r"sha256:([0-9a-f]{64})")
_GIT = re.compile(r"(git|ssh|git\+ssh|git\+https?)://|git@|https?://[^?#]*\.git(/?$|[?#])")
_MODE = 0o600


class Stage(Protocol):
    """What is asked of the stage."""

    files: Files

    def expand(self, item: Instruction, text: str) -> str:
        """A word with its variables replaced. Raises ValueError."""


def split(item: Instruction, stage: Stage, words: Sequence[str]) -> tuple[list[Entry], list[str]]:
    """The files that are to be fetched, and the words that are none.

    Raises NotBuiltYetError for Git repositories, DeclarationError for what cannot be fetched.
    """
    checksum = _checksum(item, stage)
    found: list[Entry] = []
    left = list(words[-1:])
    for word in reversed(words[:-1]):
        if _GIT.match(word):
            raise item.later(f"the Git repository {word}", "clone it beside the Dockerfile, or in a RUN")
        if word.startswith(("http://", "https://")):
            found.insert(0, _entry(item, stage, word, checksum, is_named=words[-1].endswith("/")))
        else:
            left.insert(0, word)
    if item.flag("keep-git-dir"):
        raise item.later("--keep-git-dir", "it is for Git repositories, which are not built yet")
    if checksum and (len(found) != 1 or len(left) != 1):
        raise item.wrong("--checksum is for one URL", "one source, and the destination")
    return found, left


def unpacks(item: Instruction) -> bool | None:
    """What ``--unpack`` says. Raises DeclarationError."""
    text = item.flag("unpack")
    if text not in (None, "true", "false"):
        raise item.wrong(f"--unpack={text} is neither true nor false")
    return None if text is None else text == "true"


def _checksum(item: Instruction, stage: Stage) -> str:
    text = stage.expand(item, item.flag("checksum") or "")
    match = _CHECKSUM.fullmatch(text)
    if text and not match:
        raise item.wrong(f"--checksum={text} is no sha256 digest", "sha256: and 64 digits of hexadecimal")
    return match[1] if match else ""


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
