"""Git repositories as sources of a build, in Docker's spelling (Docker manual, "Build context", "Git repositories")."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

_SCP = re.compile(r"(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*):(?P<path>[^-/:#?][^#?]*)")
_LOGIN = re.compile(r"[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:")
_ALWAYS = ("git", "ssh")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}|[0-9a-fA-F:]+")
_REF = re.compile(r"[A-Za-z0-9_./+@#=%,-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_START = re.compile(r"[0-9a-f]{7,64}")
_KEYS = ("ref", "branch", "tag", "commit", "checksum", "subdir", "submodules")


@dataclass(frozen=True)
class GitUrl:
    """A repository, and what of it is meant. ``ref`` empty is its default branch, ``subdir`` empty all of it."""

    remote: str
    ref: str = ""
    subdir: str = ""
    checksum: str = ""
    """What the commit's hash must be, or begin with."""
    submodules: bool = True

    def __str__(self) -> str:
        """As ``parse`` reads it, without the checksum."""
        if not self.submodules:
            given = {"ref": self.ref, "subdir": self.subdir, "submodules": "false"}
            return f"{self.remote}?{urlencode({key: value for key, value in given.items() if value})}"
        return f"{self.remote}#{self.ref}:{self.subdir}" if self.subdir else f"{self.remote}#{self.ref}".rstrip("#")

    @property
    def commit(self) -> str:
        """The commit, when the ref is a whole hash; else empty."""
        return self.ref if is_commit(self.ref) else ""

    @property
    def host(self) -> str:
        """The host that is asked, as it is spelled."""
        match = _SCP.fullmatch(self.remote)
        return match["host"] if match else urlsplit(self.remote).netloc.rpartition("@")[2]


def is_commit(text: str) -> bool:
    """Whether it is the whole hash of a commit."""
    return bool(_COMMIT.fullmatch(text))


def parse(text: str) -> GitUrl | None:
    """The repository that a source names; None when it names none. Raises ValueError for one that cannot be used.

    ``git@host:path`` and the schemes git and ssh always do, http and https where the path ends in ``.git``.
    """
    if text.startswith("github.com/"):
        text = f"https://{text}"
        text = text if _ends_in_git(text) else _with_git(text)
    remote, _, fragment = text.partition("#")
    if _LOGIN.match(remote):
        found = _scp(remote)
    elif "://" in remote and (urlsplit(remote).scheme in _ALWAYS or _ends_in_git(remote)):
        found = _url(remote)
    else:
        return None
    ref, _, subdir = fragment.partition(":")
    if fragment and (found.ref or found.subdir):
        raise ValueError(f"{text}: what of the repository is meant is said twice, after ? and after #")
    if fragment:
        found = replace(found, ref=ref, subdir=subdir)
    return _checked(replace(found, subdir=found.subdir.strip("/")))


def _ends_in_git(text: str) -> bool:
    parts = urlsplit(text)
    return parts.scheme in ("http", "https") and parts.path.rstrip("/").endswith(".git")


def _with_git(text: str) -> str:
    address, sign, fragment = text.partition("#")
    return f"{address.rstrip('/')}.git{sign}{fragment}"


def _scp(remote: str) -> GitUrl:
    address, _, query = remote.partition("?")
    if not _SCP.fullmatch(address):
        raise ValueError(f"{remote} is not of the form git@HOST:PATH")
    return _asked(GitUrl(address), query)


def _url(remote: str) -> GitUrl:
    parts = urlsplit(remote)
    try:
        usable = bool(_HOST.fullmatch(parts.hostname or "")) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or not parts.path.strip("/"):
        raise ValueError(f"{remote} is no address of a repository")
    if parts.password or (parts.username and parts.scheme != "ssh"):
        raise ValueError("an address with a user or password would be kept: give the build a secret GIT_AUTH_TOKEN")
    if parts.username and not _HOST.fullmatch(parts.username):
        raise ValueError(f"{remote} has an odd user")
    return _asked(GitUrl(urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))), parts.query)


def _asked(found: GitUrl, query: str) -> GitUrl:
    given = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(given.keys() - set(_KEYS)):
        raise ValueError(f"{found.remote}: {unknown[0]!r} is none of {', '.join(_KEYS)}")
    refs = [given["ref"]] if "ref" in given else []
    refs += [f"refs/{kind}/{given[name]}" for name, kind in (("branch", "heads"), ("tag", "tags")) if name in given]
    if len(refs) > 1:
        raise ValueError(f"{found.remote}: ref, branch and tag exclude each other")
    return replace(
        found,
        ref=refs[0] if refs else given.get("commit", ""),
        subdir=given.get("subdir", ""),
        checksum=given.get("checksum", given.get("commit", "") if refs else ""),
        submodules=given.get("submodules", "true") not in ("0", "false"),
    )


def _checked(found: GitUrl) -> GitUrl:
    ref = found.ref
    # What git check-ref-format(1) refuses, and what could be taken for an option or a pattern.
    if ref and (not _REF.fullmatch(ref) or ref[0] in "-/." or ref[-1] in "/." or ".." in ref or "@{" in ref):
        raise ValueError(f"{found.remote}: {ref!r} is no branch, tag or commit")
    if found.checksum and not _START.fullmatch(found.checksum):
        raise ValueError(f"{found.remote}: {found.checksum!r} is no commit's hash, nor seven or more digits of one")
    if ".." in found.subdir.split("/") or posixpath.normpath(found.subdir or ".").startswith(".."):
        raise ValueError(f"{found.remote}: {found.subdir!r} leads out of the repository")
    return found
