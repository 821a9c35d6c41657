"""What a build reads besides images: its context, files behind URLs, Git repositories."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bayplan.models import Build as Declared
from bayplan.models import Image, Settings
from bayplan.runtime.native.images.build.bases import Bases
from bayplan.runtime.native.images.build.cache import MOUNTS
from bayplan.runtime.native.images.build.lower import recipe
from bayplan.runtime.native.images.build.repositories import Repositories, repository
from bayplan.runtime.native.images.build.stats import Stats
from bayplan.runtime.native.images.build.steps import Recipe, digest_of
from bayplan.runtime.native.images.build.urls import Urls

if TYPE_CHECKING:
    from bayplan.registry.web import Web

_TOKENS = ("GIT_AUTH_TOKEN", "GIT_AUTH_HEADER")


class Sources:
    """Those of one build. Asks servers what repositories stand for; only ``bring`` and ``fetch`` write."""

    def __init__(self, settings: Settings, declared: Declared, contexts: dict[str, Stats]) -> None:
        state = settings.state_root
        self._records, self._contexts = state / "build-cache", contexts
        self.urls = Urls(self._records / "urls", state / MOUNTS, _web, newest=declared.pull)
        self.repositories = Repositories(state / MOUNTS, declared.commits, _tokens(declared))
        self.bases: dict[str, None] = {}
        """Full names of the images that it begins with or copies from, once its recipe was read."""
        self._declared, self._url = declared, repository(declared.context)
        self._commit = self.repositories.commit(self._url) if self._url else ""
        self._tree = self.repositories.tree(self._url, self._commit) if self._url else None

    @property
    def missing(self) -> str:
        """The repository that is the context and has yet to be fetched, with its commit; empty for none."""
        return f"{self._url} (commit {self._commit[:12]})" if self._url and self._tree is None else ""

    @property
    def declared(self) -> Declared:
        """The build with a directory as its context, once that is here."""
        return self._declared.model_copy(update={"context": str(self._tree)}) if self._tree else self._declared

    @property
    def stats(self) -> Stats:
        """One for plan and build of a context: what the plan has read, the build need not read again."""
        context = self.declared.context
        return self._contexts.setdefault(context, Stats(self._records / "contexts", Path(context)))

    def recipe(self, bases: Bases, platform: str) -> Recipe:
        """What is to be done. Raises as ``lower.recipe``."""
        label = str(self._url) if self._url else ""
        found = self.declared
        return recipe(found, bases, self.urls, platform, stats=self.stats, repositories=self.repositories, label=label)

    def unread(self, platform: str) -> str:
        """The name in a plan of an image whose context is not here."""
        kept = self._declared.model_dump(mode="json", exclude={"commits", "bases", "inputs"})
        return f"fingerprint:{digest_of([kept, self._commit, platform])}"

    def bring(self) -> None:
        """Fetch the context, where that is a repository."""
        if self._url and self._tree is None:
            self.repositories.fetch(self._url, self._commit)
            self._tree = self.repositories.tree(self._url, self._commit)

    def fetch(self, address: str) -> None:
        """Fetch what a step needs: a file, or a repository whose commit the address says."""
        if url := repository(address):
            self.repositories.fetch(url, self.repositories.commit(url))
        else:
            self.urls.fetch(address)

    def pinned(self, image: Image) -> Image | None:
        """The image with the commits that its repositories stand for; None when it has none."""
        if not self.repositories.commits:
            return None
        build = self._declared.model_copy(update={"commits": self.repositories.commits})
        return image.model_copy(update={"build": build})


def _tokens(declared: Declared) -> dict[str, str]:
    """The secrets of the build that are for Git servers, as Docker names them."""
    return {
        item.id: item.content.get_secret_value().decode(errors="replace")
        for item in declared.secrets
        if item.content and item.id.startswith(_TOKENS)
    }


def _web() -> Web:
    from bayplan.registry.web import Web

    return Web()
