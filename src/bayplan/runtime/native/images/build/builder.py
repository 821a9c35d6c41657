"""Images with a ``build``: what they stand for, and building them. The room's public face."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from bayplan.errors import CorruptStateError, NotFoundError, StalePlanError
from bayplan.models import Build as Declared
from bayplan.models import Image, ImageReference, Settings
from bayplan.runtime.native.images.build.assemble import sha256
from bayplan.runtime.native.images.build.bases import FOREIGN, Base, Bases, Bringing
from bayplan.runtime.native.images.build.cache import Cache
from bayplan.runtime.native.images.build.parts import Part, platform_in, wanted, write_index
from bayplan.runtime.native.images.build.solve import Build, Room
from bayplan.runtime.native.images.build.sources import Sources
from bayplan.runtime.native.images.build.stats import Stats
from bayplan.runtime.native.images.layers import Layers
from bayplan.runtime.native.images.store import ImageStore
from bayplan.runtime.protocol import ImageOrigin, Progress, Report, ResolvedImage, silent

if TYPE_CHECKING:
    from bayplan.registry.client import RegistryClient
    from bayplan.runtime.native.images.build.executor import Executor

    Session = Callable[[], AbstractContextManager[Executor]]
    """Gives the executor for one build, and takes away what it made for it."""
FINGERPRINT = "io.bayplan.build.fingerprint"
_BETWEEN = ","
"""Between the fingerprints of the platforms of one image."""


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

        Of several platforms the digest is that of the one for which the name stands here. Reads only. Raises
        DeclarationError, NotBuiltYetError, NotFoundError, UnsupportedError with file and line.
        """
        sources = self._sources(declared)
        found, main = self._parts(image, declared)
        done = [self._resolve(image, sources, part) for part in found]
        told = [(part, one) for part, one in zip(found, done, strict=True) if one.why]
        whys = [f"{part.platform}: {one.why}" if declared.platforms else one.why for part, one in told]
        whys += self._untagged(image, declared) if not whys else []
        update: dict[str, object] = {"present": not whys, "why": "; ".join(dict.fromkeys(whys))}
        update |= {"pinned": sources.pinned(image), "bases": None if sources.missing else tuple(sources.bases)}
        return done[main].model_copy(update=update)

    def _untagged(self, image: Image, declared: Declared) -> list[str]:
        """Which further names the image has not, as sentences."""
        held = self.store.find(image.reference), self.store.index(image.reference)
        names = [(text, ImageReference.parse(text)) for text in declared.tags]
        return [
            f"{text} is no name of it" for text, ref in names if (self.store.find(ref), self.store.index(ref)) != held
        ]

    def _resolve(self, image: Image, sources: Sources, part: Part) -> ResolvedImage:
        if sources.missing:
            why = f"{'' if part.local else 'not built yet; '}what {sources.missing} holds is known at build"
            digest = sources.unread(part.platform)
            return ResolvedImage(name=image.name, digest=digest, present=False, origin=ImageOrigin.BUILD, why=why)
        declared = sources.declared
        bases = self._bases(declared)
        found = sources.recipe(bases, part.platform)
        sources.bases |= bases.asked
        digest, present = found.fingerprint.digest, False
        if part.local and part.earlier == str(found.fingerprint):
            digest, present = part.local, True
        elif not declared.no_cache:
            build = Build(self._room, found, str(image.reference), Path(declared.context))
            digest = build.predict() or digest
            present = digest == part.local
        why = "" if present else found.fingerprint.why(part.earlier) if part.local else "not built yet"
        if why and found.unknown:
            why += f"; what {' and '.join(found.unknown)} holds is known at build"
        return ResolvedImage(name=image.name, digest=digest, present=present, origin=ImageOrigin.BUILD, why=why)

    def create(self, image: Image, declared: Declared, digest: str, report: Report = silent) -> None:
        """Build it and give it its name. ``digest`` is what the plan said it would be; empty for whatever comes.

        Raises StalePlanError when that moved, RuntimeFailureError for a step that failed; nothing of it stays.
        """
        with self.store.in_use():
            sources = self._sources(declared)
            found, main = self._parts(image, declared)
            if sources.missing:
                digest = "" if digest == sources.unread(found[main].platform) else digest
                report(Progress(f"image {image.reference}", message=f"fetch {sources.missing}"))
                sources.bring()
            builds = [
                self._build(image, sources, part, digest if at == main else "", report) for at, part in enumerate(found)
            ]
            made = [self._run(build, report) for build in builds]
            self.cache.finish(str(image.reference), {key for build in builds for key in build.used})
            sources.stats.save()
            prints = _BETWEEN.join(str(build.recipe.fingerprint) for build in builds)
            rows = [(part.platform, digest) for part, digest in zip(found, made, strict=True)]
            index = write_index(self.store, rows) if declared.platforms else ""
            for name in (image.reference, *map(ImageReference.parse, declared.tags)):
                self.store.tag(name, made[main], {FINGERPRINT: prints}, index=index)

    def _build(self, image: Image, sources: Sources, part: Part, digest: str, report: Report) -> Build:
        """The build for one platform, ready to run."""
        name, declared = str(image.reference), sources.declared
        bases = self._bases(declared)
        found = sources.recipe(bases, part.platform)
        context, urls = Path(declared.context), sources.urls
        build = Build(self._room, found, name, context, use_cache=not declared.no_cache, urls=urls)
        build.secrets = {
            item.id: item.content.get_secret_value() for item in declared.secrets if item.content is not None
        }
        build.ssh = declared.ssh
        build.shm_size, build.ulimits = declared.shm_size, declared.ulimits
        build.bring = Bringing(lambda base: self._bring(base, report))
        if digest not in ("", found.fingerprint.digest, build.predict()):
            raise StalePlanError(f"what image {image.name} is built from changed", hint="make a new plan")
        for note in found.notes:
            report(Progress(f"image {name}", message=note))
        for url in found.unknown:
            report(Progress(f"image {name}", message=f"fetch {url}"))
            sources.fetch(url)
        if found.unknown:
            build.recipe = sources.recipe(bases, part.platform)
        return build

    def _run(self, build: Build, report: Report) -> str:
        """Carry it out and store the documents; the digest of the manifest."""
        with self._session() as executor:
            build.executor = executor
            documents = build.run(report)
        for data in (documents.config, documents.manifest):
            self.store.write(sha256(data), [data])
        return documents.digest

    def _parts(self, image: Image, declared: Declared) -> tuple[list[Part], int]:
        """What is built, with what of it is here, and the position of what the name stands for on this host."""
        earlier = self.store.annotations(image.reference).get(FINGERPRINT, "")
        if not declared.platforms:
            index = self.store.index(image.reference)
            local = "" if index else self._whole(self.store.find(image.reference))
            return [Part(image.platform or "", local, earlier)], 0
        listed, main = wanted(image, declared)
        index = self.store.index(image.reference)
        prints = iter(earlier.split(_BETWEEN))
        known = {
            platform_in(item): Part(platform_in(item), self._whole(str(item["digest"])), next(prints, ""))
            for item in (self.store.parts(index) if index else ())
        }
        return [known.get(platform, Part(platform)) for platform in listed], main

    def forget(self, name: str) -> None:
        """The image is gone; the results of its steps need not be kept."""
        self.cache.finish(name, ())

    def _sources(self, declared: Declared) -> Sources:
        return Sources(self._settings, declared, self._contexts)

    def _bases(self, declared: Declared) -> Bases:
        return Bases(self.store, self._client, newest=declared.pull, pins=declared.bases)

    def _bring(self, base: Base, report: Report) -> None:
        from bayplan.runtime.native.images.pull import pull

        here = self.store.find(base.reference) == base.digest
        if not here or not all(self.store.blob(layer.digest).exists() for layer in base.layers):
            pull(self.store, self._room.layers, self._client(), base.reference, base.digest, None, report)
        if base.note:
            self.store.tag(base.reference, base.digest, {FOREIGN: base.note})

    def _whole(self, digest: str | None) -> str:
        """The digest of an image, when all of it is here; else empty."""
        try:
            layers = self.store.get(digest).layers if digest else ()
        except (NotFoundError, CorruptStateError):
            return ""
        return digest if digest and all(self.store.blob(layer.digest).exists() for layer in layers) else ""
