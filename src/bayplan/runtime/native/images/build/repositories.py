"""Git repositories that builds take files from: which commit a name stands for, and its files, fetched once.

What git wrote is read beneath its own root, as every context is. A commit's files lie where the caches of builds lie,
so that ``bayplan builder prune`` frees them.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from bayplan.errors import (
    AccessDeniedError,
    BayplanError,
    DeclarationError,
    NotFoundError,
    RuntimeFailureError,
    UnavailableError,
)
from bayplan.models.git_url import GitUrl, is_commit, parse
from bayplan.runtime.native.images.build import git
from bayplan.system import trees
from bayplan.system.beneath import open_in_root
from bayplan.system.files import locked

_ASK_S, _FETCH_S = 120, 3600
_KEPT = 2
"""Commits of one repository that stay: a build may still read the one before."""


def repository(text: str) -> GitUrl | None:
    """The repository that a source names; None when it names none. Raises DeclarationError."""
    try:
        return parse(text)
    except ValueError as error:
        raise DeclarationError(str(error), hint="such as https://host/project.git#branch:directory") from error


class Repositories:
    """The repositories of one build. ``commits`` are those that a plan has found: a branch that moved stays.

    ``tokens`` are the secrets GIT_AUTH_TOKEN and GIT_AUTH_HEADER of the build, also as NAME.HOST.
    """

    def __init__(self, top: Path, commits: Mapping[str, str], tokens: Mapping[str, str]) -> None:
        self._top, self._tokens = top, tokens
        self.commits = dict(commits)
        """What each address stands for, as far as it was asked."""

    def commit(self, url: GitUrl) -> str:
        """The commit that is meant; the server is asked unless the address says it.

        Raises NotFoundError for a branch or tag that is not there, AccessDeniedError, UnavailableError.
        """
        found = url.commit or self.commits.get(str(url)) or self._ask(url)
        if not found.startswith(url.checksum):
            what = f"{url} is commit {found}, wanted is {url.checksum}"
            raise RuntimeFailureError(what, hint="check the checksum, or that nobody moved the branch or tag")
        self.commits[str(url)] = found
        return found

    def tree(self, url: GitUrl, commit: str) -> Path | None:
        """The directory with a commit's files, or its subdirectory that is meant; None while it is not here.

        Raises NotFoundError for a subdirectory that is not there.
        """
        tree = self._tree(url, commit)
        if not tree.is_dir():
            return None
        what = f"{url.remote} has no directory {url.subdir} in commit {commit[:12]}"
        return beneath(tree, url.subdir, what, os.O_DIRECTORY)

    def fetch(self, url: GitUrl, commit: str) -> None:
        """Bring a commit's files, with those of its submodules. Raises as ``commit``, RuntimeFailureError."""
        place = self._place(url)
        with locked(place / ".lock", "fetch a repository of a build"):
            (place / "id").write_text(url.remote)
            tree = self._tree(url, commit)
            if tree.is_dir():
                return
            for left in place.glob(".part-*"):  # by one that was killed
                trees.remove(left)
            part = place / f".part-{secrets.token_hex(4)}"
            part.mkdir()
            part.chmod(0o755)  # whatever the umask: it is the root of what is copied
            try:
                self._check_out(url, commit, part)
                part.rename(tree)
            except BaseException:
                trees.remove(part, ignore_errors=True)
                raise
            old = sorted(place.glob("tree-*"), key=lambda path: path.stat().st_mtime_ns)
            for path in old[:-_KEPT]:
                trees.remove(path)

    def _ask(self, url: GitUrl) -> str:
        ref = url.ref or "HEAD"
        said = self._git(url, _ASK_S, "ls-remote", "--", url.remote, *_candidates(ref))
        found = {name: commit for commit, _, name in (line.partition("\t") for line in said.splitlines())}
        for name in _candidates(ref):
            if is_commit(found.get(name, "")):
                return found[name]
        what = f"{url.remote} has no branch, tag or other ref {url.ref}" if url.ref else f"{url.remote} is empty"
        raise NotFoundError(what, hint="a commit is named by its whole hash")

    def _check_out(self, url: GitUrl, commit: str, part: Path) -> None:
        self._git(url, _ASK_S, "init", "--quiet", at=part)
        self._git(url, _ASK_S, "remote", "add", "origin", url.remote, at=part)
        self._bring(url, commit, part)
        self._git(url, _FETCH_S, "checkout", "--quiet", "--force", "--detach", commit, at=part)
        if url.submodules and (part / ".gitmodules").is_file():
            more = ("submodule", "--quiet", "update", "--init", "--recursive", "--depth=1")
            self._git(url, _FETCH_S, *more, at=part, protocols="git:http:https:ssh")
        for directory, folders, files in os.walk(part):
            if ".git" in folders:
                folders.remove(".git")
                trees.remove(Path(directory, ".git"))
            if ".git" in files:
                Path(directory, ".git").unlink()

    def _bring(self, url: GitUrl, commit: str, part: Path) -> None:
        """The commit alone where the server gives it by its hash; by its name, or with all the rest, where not."""
        ways = [["--depth=1", "origin", commit]]
        ways += [["--depth=1", "origin", url.ref or "HEAD"]] if not url.commit else []
        ways.append(["--tags", "origin", "+refs/heads/*:refs/remotes/origin/*"])
        for number, way in enumerate(ways, 1):
            try:
                self._git(url, _FETCH_S, "fetch", "--quiet", "--no-write-fetch-head", "--force", *way, at=part)
            except (AccessDeniedError, UnavailableError):
                raise
            except BayplanError:
                if number == len(ways):
                    raise
                continue
            if self._has(url, commit, part):
                return
        what = f"{url.remote} has no commit {commit}"
        hint = "check the hash" if url.commit else "the branch was moved since: make a new plan"
        raise NotFoundError(what, hint=hint)

    def _has(self, url: GitUrl, commit: str, part: Path) -> bool:
        try:
            self._git(url, _ASK_S, "cat-file", "-e", f"{commit}^{{commit}}", at=part)
        except BayplanError:
            return False
        return True

    def _git(self, url: GitUrl, timeout_s: int, *arguments: str, at: Path | None = None, protocols: str = "") -> str:
        return git.run(url, arguments, self._tokens, at=at, protocols=protocols, timeout_s=timeout_s)

    def _place(self, url: GitUrl) -> Path:
        key = hashlib.sha256(f"{url.remote} {url.submodules}".encode()).hexdigest()[:32]
        return self._top / f"git-{key}"

    def _tree(self, url: GitUrl, commit: str) -> Path:
        return self._place(url) / f"tree-{commit}"


def beneath(root: Path, path: str, otherwise: str, flags: int = 0) -> Path:
    """Where a path below a foreign root is, links followed inside. Raises NotFoundError saying ``otherwise``."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = open_in_root(fd, path, os.O_PATH | flags)
    except OSError as error:
        raise NotFoundError(otherwise) from error
    finally:
        os.close(fd)
    try:
        return Path(f"/proc/self/fd/{found}").readlink()
    finally:
        os.close(found)


def _candidates(ref: str) -> Sequence[str]:
    """Full names that a short one may mean, best first (gitrevisions(7)); of an annotated tag the commit goes first."""
    if ref == "HEAD":
        return ("HEAD",)
    names = [ref] if ref.startswith("refs/") else [f"refs/tags/{ref}", f"refs/heads/{ref}", f"refs/{ref}"]
    return [each for name in names for each in (f"{name}^{{}}", name)]
