"""Images with a ``build``: what they stand for, and building them. The room's public face."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from bayplan.errors import CorruptStateError, NotFoundError, StalePlanError
from bayplan.models import Build as Declared
from bayplan.models import Image, Settings
from bayplan.runtime.native.images.build.assemble import sha256
from bayplan.runtime.native.images.build.bases import FOREIGN, Base, Bases, Bringing
from bayplan.runtime.native.images.build.cache import MOUNTS, Cache
from bayplan.runtime.native.images.build.lower import recipe
from bayplan.runtime.native.images.build.solve import Build, Room
from bayplan.runtime.native.images.build.stats import Stats
from bayplan.runtime.native.images.build.urls import Urls
from bayplan.runtime.native.images.layers import Layers
from bayplan.runtime.native.images.store import ImageStore
from bayplan.runtime.protocol import ImageOrigin, Progress, Report, ResolvedImage, silent

if TYPE_CHECKING:
    from bayplan.registry.client import RegistryClient
    from bayplan.registry.web import Web
    from bayplan.runtime.native.images.build.executor import Executor

    Session = Callable[[], AbstractContextManager[Executor]]
    """Gives the executor for one build, and takes away what it made for it."""
FINGERPRINT = "io.bayplan.build.fingerprint"


def workspaces(settings: Settings) -> Path:
    """Where the steps that are being done have their directories; what is there under the host's lock is dead."""
    return settings.state_root / "builds"


class Builder:
    """Builds into one store. Safe to use from many threads for different images."""

    def __init__(
        self,
        settings: Settings,
        store: ImageStore,
        layers: Layers,
        client: Callable[[], RegistryClient],
        session: Session,
    ) -> None:
        self.store, self.layers, self._client, self._session = store, layers, client, session
        self._settings = settings
        self._contexts: dict[str, Stats] = {}
        self.cache = Cache(settings.state_root / "build-cache")
        self._room = Room(store, layers, self.cache, workspaces(settings))

    def resolve(self, image: Image, declared: Declared) -> ResolvedImage:
        """Present when it was built from just this, or would come out as what is here; else what it will be.

        Reads only. Raises DeclarationError, NotBuiltYetError, NotFoundError, UnsupportedError with file and line.
        """
        bases, stats = Bases(self.store, self._client, newest=declared.pull), self._stats(declared)
        found = recipe(declared, bases, self._urls(declared), image.platform, stats=stats)
        local = self._whole(image)
        earlier = self.store.annotations(image.reference).get(FINGERPRINT, "")
        digest, present = found.fingerprint.digest, False
        if local and earlier == str(found.fingerprint):
            digest, present = local, True
        elif not declared.no_cache:
            build = Build(self._room, found, str(image.reference), Path(declared.context))
            digest = build.predict() or digest
            present = digest == local
        why = "" if present else found.fingerprint.why(earlier) if local else "not built yet"
        if why and found.unknown:
            why += f"; what {' and '.join(found.unknown)} holds is known at build"
        return ResolvedImage(name=image.name, digest=digest, present=present, origin=ImageOrigin.BUILD, why=why)

    def create(self, image: Image, declared: Declared, digest: str, report: Report = silent) -> None:
        """Build it and give it its name. ``digest`` is what the plan said it would be; empty for whatever comes.

        Raises StalePlanError when that moved, RuntimeFailureError for a step that failed; nothing of it stays.
        """
        name = str(image.reference)
        with self.store.in_use():
            bases, urls = Bases(self.store, self._client, newest=declared.pull), self._urls(declared)
            stats = self._stats(declared)
            found = recipe(declared, bases, urls, image.platform, stats=stats)
            build = Build(self._room, found, name, Path(declared.context), use_cache=not declared.no_cache, urls=urls)
            build.secrets = {
                item.id: item.content.get_secret_value() for item in declared.secrets if item.content is not None
            }
            build.ssh = declared.ssh
            build.bring = Bringing(lambda base: self._bring(base, report))
            if digest not in ("", found.fingerprint.digest, build.predict()):
                raise StalePlanError(f"what image {image.name} is built from changed", hint="make a new plan")
            for note in found.notes:
                report(Progress(f"image {name}", message=note))
            for url in found.unknown:
                report(Progress(f"image {name}", message=f"fetch {url}"))
                urls.fetch(url)
            if found.unknown:
                build.recipe = found = recipe(declared, bases, urls, image.platform, stats=stats)
            with self._session() as executor:
                build.executor = executor
                documents = build.run(report)
            for data in (documents.config, documents.manifest):
                self.store.write(sha256(data), [data])
            stats.save()
            self.store.tag(image.reference, documents.digest, {FINGERPRINT: str(found.fingerprint)})

    def forget(self, name: str) -> None:
        """The image is gone; the results of its steps need not be kept."""
        self.cache.finish(name, ())

    def _urls(self, declared: Declared) -> Urls:
        state = self._settings.state_root
        return Urls(state / "build-cache" / "urls", state / MOUNTS, _web, newest=declared.pull)

    def _stats(self, declared: Declared) -> Stats:
        """One for plan and build of a context: what the plan has read, the build need not read again."""
        top = self._settings.state_root / "build-cache" / "contexts"
        return self._contexts.setdefault(declared.context, Stats(top, Path(declared.context)))

    def _bring(self, base: Base, report: Report) -> None:
        from bayplan.runtime.native.images.pull import pull

        here = self.store.find(base.reference) == base.digest
        if not here or not all(self.store.blob(layer.digest).exists() for layer in base.layers):
            pull(self.store, self._room.layers, self._client(), base.reference, base.digest, None, report)
        if base.note:
            self.store.tag(base.reference, base.digest, {FOREIGN: base.note})

    def _whole(self, image: Image) -> str | None:
        """The digest of the image of that name, when all of it is here."""
        digest = self.store.find(image.reference)
        try:
            layers = self.store.get(digest).layers if digest else ()
        except (NotFoundError, CorruptStateError):
            return None
        return digest if all(self.store.blob(layer.digest).exists() for layer in layers) else None


def _web() -> Web:
    from bayplan.registry.web import Web

    return Web()
