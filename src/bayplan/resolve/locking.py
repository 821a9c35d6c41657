"""A lock made, checked and moved on.

What is locked stays as it is until it is asked for (``upgrade``); what is new is added at what the registry has now,
what is no longer declared goes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from bayplan.errors import DeclarationError, NotFoundError
from bayplan.models import Build, Container, Image, ImageMount, ImageReference, Kind, Pin, PullPolicy, Stack
from bayplan.registry.client import RegistryClient
from bayplan.resolve import upstream
from bayplan.resolve.inputs import inputs_of
from bayplan.resolve.lockfile import Lock, LockedBuild
from bayplan.runtime.protocol import ImageOrigin, Runtime
from bayplan.values import frozen


@frozen
class Moved:
    """One thing that a lock says otherwise than the declaration or the registry does now."""

    kind: str
    """``image`` or ``build``."""
    name: str
    what: str


@dataclass(frozen=True)
class Locker:
    """Makes locks of one declaration. The registry is asked for names, the engine for what builds begin with."""

    stack: Stack
    runtime: Runtime
    client: RegistryClient

    def lock(self, old: Lock, *, upgrade: Collection[str] | None = None) -> Lock:
        """The lock of now. ``upgrade`` names the images to ask for anew, of all when it is empty; None is of none.

        Raises NotFoundError, UnavailableError, AccessDeniedError, and what is wrong with a Dockerfile.
        """

        def fresh(name: str) -> bool:
            return upgrade is not None and (not upgrade or name in upgrade)

        images: dict[str, Pin] = {}
        builds: dict[str, LockedBuild] = {}
        for image in self.stack.images:
            name = str(image.reference)
            if image.build is None:
                images[name] = self._pin(image, old, fresh(name))
                continue
            builds[name] = self._build(image, image.build, old, images, fresh=fresh(name))
        return Lock(images=images, builds=builds)

    def _pin(self, image: Image, old: Lock, fresh: bool) -> Pin:
        known = old.images.get(str(image.reference))
        said = image.reference.digest
        if known is not None and not fresh and said in (None, known.digest):
            return known
        if image.pull is PullPolicy.NEVER:
            return self._here(image)
        try:
            return upstream.pin(self.client, image.reference)
        except NotFoundError:
            # In no registry: what the host has is all there is of it.
            return self._here(image)

    def _here(self, image: Image) -> Pin:
        """An image that was loaded or built by hand: it has one platform."""
        update = {"pull": PullPolicy.NEVER, "pin": None, "build": None}
        found = self.runtime.resolve(image.model_copy(update=update))
        told = self.runtime.image_verbs.inspect(image.name)
        values = {"os": told.get("Os"), "architecture": told.get("Architecture"), "variant": told.get("Variant")}
        return Pin(digest=found.digest, platforms={upstream.platform_of(values): found.digest})

    def _build(self, image: Image, build: Build, old: Lock, images: dict[str, Pin], *, fresh: bool) -> LockedBuild:
        earlier = old.builds.get(str(image.reference), LockedBuild())
        bare = image.model_copy(update={"build": build.model_copy(update={"commits": {}, "bases": {}})})
        kept = {**build.commits, **({} if fresh else earlier.commits)}
        bases = {} if fresh else {name: old.images[name] for name in earlier.bases if name in old.images}
        now = build.model_copy(update={"commits": kept, "bases": bases, "inputs": ""})
        found = self.runtime.resolve(bare.model_copy(update={"build": now}))
        if found.bases is None:
            raise DeclarationError(
                f"what image {image.name} is built on is known once its context was fetched",
                hint="apply it once, which fetches it; lock it then",
            )
        for name in found.bases:
            images[name] = images.get(name) or self._pin(Image(name=name), old, fresh)
        pinned = found.pinned.build.commits if found.pinned and found.pinned.build else {}
        whole = now.model_copy(update={"bases": {name: images[name] for name in found.bases}})
        return LockedBuild(
            inputs=inputs_of(build),
            bases=tuple(sorted(found.bases)),
            commits={name: pinned[name] for name in pinned},
            digests=self._digests(bare.model_copy(update={"build": whole})),
        )

    def _digests(self, image: Image) -> dict[str, str]:
        """What it came out as, where it stands built of just this on an engine that builds the same twice."""
        if self.runtime.facts().engine != "native":
            return {}
        found = self.runtime.resolve(image)
        if not found.present or found.origin is not ImageOrigin.BUILD:
            return {}
        told = self.runtime.image_verbs.inspect(image.name)
        values = {"os": told.get("Os"), "architecture": told.get("Architecture"), "variant": told.get("Variant")}
        return {upstream.platform_of(values): found.digest}


def of_services(stack: Stack, services: Collection[str]) -> frozenset[str]:
    """Full names of the images that services run, mount or are built as. Raises NotFoundError naming what there is."""
    found: dict[str, set[str]] = {}
    for item in stack.resources():
        if item.kind not in (Kind.CONTAINER, Kind.SERVICE):
            continue
        names = found.setdefault(getattr(item, "service", "") or item.name, set())
        names.add(str(ImageReference.parse(str(getattr(item, "image", "")))))
        mounts = item.mounts if isinstance(item, Container) else ()
        names |= {str(ImageReference.parse(one.source)) for one in mounts if isinstance(one, ImageMount)}
    missing = [name for name in services if name not in found]
    if missing:
        raise NotFoundError(f"no service {', '.join(missing)}", hint=f"there are: {', '.join(sorted(found))}")
    return frozenset(name for service in services for name in found[service])


def moved(old: Lock, now: Lock, newest: Lock | None = None) -> Iterator[Moved]:
    """What the declaration of now (``now``), and what is upstream of it (``newest``), has otherwise than a lock."""
    for name in sorted({*old.images, *now.images}):
        if name not in now.images:
            yield Moved("image", name, "is no longer declared")
        elif name not in old.images:
            yield Moved("image", name, "was not locked")
        else:
            yield from _pins(name, old.images[name], now.images[name], "the declaration")
            if newest is not None and now.images[name] == old.images[name]:
                yield from _pins(name, old.images[name], newest.images.get(name, old.images[name]), "the registry")
    for name in sorted({*old.builds, *now.builds}):
        if name not in now.builds:
            yield Moved("build", name, "is no longer declared")
        elif name not in old.builds:
            yield Moved("build", name, "was not locked")
        else:
            yield from _builds(name, old.builds[name], now.builds[name], newest.builds.get(name) if newest else None)


def _pins(name: str, old: Pin, new: Pin, who: str) -> Iterator[Moved]:
    if old.digest != new.digest:
        yield Moved("image", name, f"{who} has {new.digest}, locked is {old.digest}")
    elif old.platforms != new.platforms:
        yield Moved("image", name, f"{who} has other platforms of {old.digest} than are locked")


def _builds(name: str, old: LockedBuild, new: LockedBuild, newest: LockedBuild | None) -> Iterator[Moved]:
    if old.inputs != new.inputs:
        yield Moved("build", name, "its files are others than were locked")
    if set(old.bases) != set(new.bases):
        yield Moved("build", name, f"it is built on {', '.join(new.bases) or 'nothing'}, not on what is locked")
    for url, commit in (newest or new).commits.items():
        if old.commits.get(url) != commit:
            yield Moved("build", name, f"{url} is at {commit[:12]}, locked is {old.commits.get(url, 'nothing')[:12]}")
    if old.inputs == new.inputs:
        for platform, digest in new.digests.items():
            if old.digests.get(platform, digest) != digest:
                locked = old.digests[platform]
                yield Moved("build", name, f"it came out as {digest} for {platform}, locked is {locked}")
