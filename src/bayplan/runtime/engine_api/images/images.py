"""The images of one engine as the runtime sees them: resolve, make present, remove."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bayplan.errors import ConflictError, NotFoundError
from bayplan.models import Image, ImageReference, Pin, PullPolicy, Settings
from bayplan.registry import platforms
from bayplan.runtime.asked import Asked
from bayplan.runtime.engine_api.answers import AbsentError
from bayplan.runtime.engine_api.bases import digest_of, whole_id
from bayplan.runtime.engine_api.client import EngineClient, told
from bayplan.runtime.engine_api.images.remote import Distribution, Remote, header
from bayplan.runtime.engine_api.images.transfer import checked, lines, progress, told_of_registry
from bayplan.runtime.protocol import ImageOrigin, Observed, Progress, Report, ResolvedImage, State, Status, silent

if TYPE_CHECKING:
    from bayplan.runtime.engine_api.images.builds import Builds
    from bayplan.runtime.engine_api.images.lent import LentBuilder

_PREFIX = "sha256:"


class Images:
    """Safe to use from many threads. ``lent`` builds instead of the engine, when it is there."""

    def __init__(
        self,
        client: EngineClient,
        settings: Settings,
        *,
        remote: Remote | None = None,
        lent: LentBuilder | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """``changed`` is told of each that came or got another digest."""
        self._client, self._settings = client, settings
        self._remote = remote or Distribution(client)
        self._asked = Asked(settings.state_root / "asked")
        self._lent, self._changed = lent, changed
        self._removing = threading.Lock()  # of two names that go at once Podman 4 keeps one

    @cached_property
    def _builds(self) -> Builds:
        """What builds, loaded at first use: a plan without builds shall begin soon."""
        from bayplan.runtime.engine_api.images.builds import Builds

        return Builds(self._client, self.local, self.pull, self.newest)

    # -- reading -----------------------------------------------------------------------------------------------

    def local(self, reference: ImageReference, platform: str | None = None) -> dict[str, Any] | None:
        """What the engine has under a name (ImageInspect), when it is for the platform; None is this host's."""
        named = f"{reference.name}@{reference.digest}" if reference.digest else str(reference)
        found = self._inspect(named)
        if found is None or (platform and not _suits(found, platform)):
            return None
        return found

    def holding(self, name: str, digest: str, platform: str | None = None) -> dict[str, Any] | None:
        """The image of a digest: by what its repository calls it, by its id, or because the name stands for it."""
        reference = ImageReference.parse(name)
        found = self.local(reference.with_digest(digest), platform) or self._inspect(digest)
        if found is None:
            named = self.local(reference, platform)
            found = named if named and digest_of(named, name) == digest else None
        return found

    def image_id(self, name: str, digest: str, report: Report = silent) -> str:
        """The engine's id of the image of a planned digest, fetched if it is not there. Raises NotFoundError."""
        if digest.startswith(_PREFIX):
            held = self.holding(name, digest)
            if held is None:
                self.pull(Image(name=name), report, digest)
                held = self.holding(name, digest)
        else:
            held = self.local(ImageReference.parse(name))
        if held is None:
            raise NotFoundError(f"image {name} is not on the engine's host", hint="pull it first")
        return str(held["Id"])

    def newest(self, image: Image) -> str:
        """The digest that the registry has under its name."""
        return self._remote.digest(image.reference, image.platform)

    def resolve(self, image: Image) -> ResolvedImage:
        """What the image stands for, by its pull policy. Asks the registry only when the policy or absence says so."""
        if image.build is not None:
            if self._lent is not None:
                return self._lent.resolve(image, self.local)
            return self._builds.resolve(image, image.build)
        if image.pin is not None:
            return self._pinned(image, image.pin)
        here = self.local(image.reference, image.platform)
        due = image.pull_every and self._asked.is_due(image, image.pull_every)
        if here and image.pull is not PullPolicy.ALWAYS and not due:
            return _found(image, here, present=True, origin=ImageOrigin.LOCAL)
        if image.pull is PullPolicy.NEVER:
            raise NotFoundError(f"image {image.name} is not on the engine's host", hint="its pull policy is `never`")
        digest = self.newest(image)
        # Its content may be here under another name, or under none: then a container of it need not be replaced.
        same = self.holding(image.name, digest, image.platform)
        if image.pull_every and same and here and same["Id"] == here["Id"]:
            self._asked.note(image)
        why = "the registry has another image under this name" if here else "not on the host"
        if same:
            present = here is not None and here["Id"] == same["Id"]
            return _found(image, same, present=present, origin=ImageOrigin.REGISTRY, why="" if present else why)
        return ResolvedImage(name=image.name, digest=digest, present=False, origin=ImageOrigin.REGISTRY, why=why)

    def _pinned(self, image: Image, pin: Pin) -> ResolvedImage:
        """At the digest that a lock holds it to; no registry is asked what the name means now."""
        here = self.local(image.reference, image.platform)
        found = (self.holding(image.name, digest, image.platform) for digest in _digests(image, pin))
        same = next(filter(None, found), None)
        if same:
            present = here is not None and here["Id"] == same["Id"]
            why = "" if present else "its name has to mean the locked image"
            return _found(image, same, present=present, origin=ImageOrigin.LOCAL, why=why)
        if image.pull is PullPolicy.NEVER:
            what = f"image {image.name} is not on the engine's host as it is locked, {pin.digest[:19]}"
            raise NotFoundError(what, hint="its pull policy is `never`: load it, or lock what is there")
        why = "the lock names another image" if here else "not on the host"
        return ResolvedImage(name=image.name, digest=pin.digest, present=False, origin=ImageOrigin.REGISTRY, why=why)

    def observe(self, names: Sequence[str]) -> list[Observed]:
        """Those of the named images that are here."""
        found = []
        for name in names:
            held = self.local(ImageReference.parse(name))
            if held is not None:
                image, status = Image(name=name), Status(state=State.READY)
                found.append(Observed(actual=image, declared=image, status=status, image_digest=digest_of(held, name)))
        return found

    # -- changing ----------------------------------------------------------------------------------------------

    def create(self, image: Image, digest: str, report: Report = silent) -> None:
        """Pull exactly the planned digest, or build what was planned, and give it its name."""
        if image.build is not None:
            if self._lent is not None:
                self._lent.create(image, digest, self._client, report)
            else:
                self._builds.create(image, image.build, digest, report)
            self._changed()
            return
        self.pull(image, report, digest)
        self._asked.note(image)

    def pull(self, image: Image, report: Report = silent, digest: str = "") -> None:
        """Bring an image by a digest, or by what the registry has under its name now."""
        reference = image.reference
        with told(f"image {image.name}"):
            held = self.holding(image.name, digest, image.platform) if digest else None
            if held is None:
                wanted = digest or reference.digest or reference.tag or "latest"
                self._transfer(reference, wanted, image.platform, report)
                if not wanted.startswith(_PREFIX):
                    return
                held = self._inspect(f"{reference.name}@{wanted}")
            if held is None:
                raise NotFoundError(f"image {image.name} was pulled and is not there", hint="apply again")
            if reference.tag and not reference.digest:
                named = {"repo": reference.name, "tag": reference.tag}
                self._client.call("POST", f"/images/{held['Id']}/tag", query=named)

    def _transfer(self, reference: ImageReference, tag: str, platform: str | None, report: Report) -> None:
        what = f"image {reference.familiar}"
        report(Progress(what, message=f"pull {tag}"))
        with told_of_registry(what):
            wanted = {"fromImage": reference.name, "tag": tag, "platform": platform}
            stream = self._client.streamed("POST", "/images/create", query=wanted, headers=header(reference))
            for event in checked(lines(stream), what):
                progress(event, "pull", report)
        self._changed()

    def delete(self, name: str) -> None:
        """Remove a name and what only it used. Absent is no error. Raises ConflictError while a container uses it."""
        reference = ImageReference.parse(name)
        held = self.local(reference)
        if held is None:
            return
        try:
            with told(f"image {name}"), self._removing:
                self._client.call("DELETE", f"/images/{reference}")
        except NotFoundError:
            return
        except ConflictError as error:
            raise ConflictError(f"image {name} is used: {error.what}", hint="remove the container first") from error

    def _inspect(self, named: str) -> dict[str, Any] | None:
        try:
            with told(f"image {named}"):
                found: dict[str, Any] = self._client.call("GET", f"/images/{named}/json")
        except NotFoundError as error:
            if isinstance(error.__cause__, AbsentError | AbsentError):
                return None
            raise
        found["Id"] = whole_id(str(found["Id"]))
        return found


def _digests(image: Image, pin: Pin) -> Iterator[str]:
    """By what an engine may know a pinned image: the digest it was pulled by, or what a loaded archive had."""
    yield pin.digest
    for known in (pin.platforms, pin.ids):
        with suppress(NotFoundError):
            yield platforms.pinned(pin.model_copy(update={"platforms": known}), image.platform, image.reference)


def _suits(held: Mapping[str, Any], platform: str) -> bool:
    return platforms.suits(str(held.get("Os")), str(held.get("Architecture")), str(held.get("Variant") or ""), platform)


def _found(
    image: Image, held: Mapping[str, Any], *, present: bool, origin: ImageOrigin, why: str = ""
) -> ResolvedImage:
    config = held.get("Config") or {}
    volumes, exposed = (tuple(sorted(config.get(key) or ())) for key in ("Volumes", "ExposedPorts"))
    digest = digest_of(held, image.name)
    found = {"name": image.name, "digest": digest, "present": present, "origin": origin, "why": why}
    return ResolvedImage(**found, volumes=volumes, exposed=exposed)
