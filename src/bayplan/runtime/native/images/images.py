"""The images of one core as the runtime sees them: resolve, make present, give root file systems, remove."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayplan.errors import BayplanError, CorruptStateError, InUseError, NotFoundError
from bayplan.models import Image, ImageReference, Pin, PullPolicy, Settings
from bayplan.registry.platforms import pinned
from bayplan.runtime.asked import Asked
from bayplan.runtime.native.images.layers import Layers
from bayplan.runtime.native.images.soundness import damage
from bayplan.runtime.native.images.store import ImageStore
from bayplan.runtime.native.images.stored import ImageConfig, StoredImage, image_config
from bayplan.runtime.protocol import ImageOrigin, Observed, Report, ResolvedImage, State, Status, silent

if TYPE_CHECKING:
    from bayplan.registry.client import RegistryClient
    from bayplan.runtime.native.images.build.builder import Builder, Session


class Images:
    """Store, layers and registry client of one core. Safe to use from many threads."""

    def __init__(self, settings: Settings, build_session: Session) -> None:
        self.settings = settings
        self.store = ImageStore(settings.state_root / "images")
        self.layers = Layers(settings.state_root / "layers")
        self._build_session = build_session
        self._builder: Builder | None = None
        self._client: RegistryClient | None = None
        self._lock = threading.Lock()
        self._asked = Asked(settings.state_root / "asked")
        self._read: dict[str, StoredImage] = {}
        """Documents by digest, so that a hundred containers of one image read them once; a digest never changes."""

    @property
    def builder(self) -> Builder:
        """The builder, loaded at first use: most runs build nothing."""
        from bayplan.runtime.native.images.build.builder import Builder

        with self._lock:
            self._builder = self._builder or Builder(
                self.settings, self.store, self.layers, lambda: self.client, self._build_session
            )
            return self._builder

    @property
    def client(self) -> RegistryClient:
        """The registry client, loaded and made at first use: most runs ask no registry."""
        from bayplan.registry.client import RegistryClient

        with self._lock:
            self._client = self._client or RegistryClient(self.settings)
            return self._client

    def resolve(self, image: Image) -> ResolvedImage:
        """What the image stands for, by its pull policy. Asks the registry only when the policy or absence says so."""
        if image.build is not None:
            return self._with_wishes(self.builder.resolve(image, image.build))
        if image.pin is not None:
            return self._pinned(image, image.pin)
        local = self.store.find(image.reference)
        # Asked for anew it is to be whole; else it is enough that what is missing was unpacked before.
        unpacked = None if image.pull is PullPolicy.ALWAYS else self.layers
        found_damage = damage(self.store, local, deep=False, layers=unpacked) if local else iter(())
        damaged = next((what for _, what in found_damage), "")
        if damaged:
            if image.pull is PullPolicy.NEVER:
                what = f"image {image.name} is damaged: a blob of it {damaged}"
                raise CorruptStateError(what, hint="its pull policy is `never`: load it again")
            local = None
        due = image.pull_every and self._asked.is_due(image, image.pull_every)
        if local and image.pull is not PullPolicy.ALWAYS and not due:
            found = ResolvedImage(name=image.name, digest=local, present=True, origin=ImageOrigin.LOCAL)
            return self._with_wishes(found)
        if image.pull is PullPolicy.NEVER:
            raise NotFoundError(f"image {image.name} is not on this host", hint="its pull policy is `never`")
        digest, _, manifest = self.client.select(image.reference, image.platform)
        if image.pull_every and digest == local:
            self._asked.note(image)
        if local == digest:
            found = ResolvedImage(name=image.name, digest=digest, present=True, origin=ImageOrigin.REGISTRY)
            return self._with_wishes(found)
        gone = f"a blob of it {damaged}" if damaged else "not on the host"
        why = gone if local is None else "the registry has another image under this name"
        return self._offered(image, digest, manifest, why)

    def _pinned(self, image: Image, pin: Pin) -> ResolvedImage:
        """At the digest that a lock holds it to; the registry is asked only for that, when it is not here."""
        digest = pinned(pin, image.platform, image.reference)
        local = self.store.find(image.reference)
        if local and local != digest and pin.ids and self._id(local) in pin.ids.values():
            digest = local  # another engine packed its layers otherwise: the image is the same
        damaged = next((what for _, what in damage(self.store, digest, deep=False, layers=self.layers)), "")
        if self.store.blob(digest).is_file() and not damaged:
            here = local == digest
            why = "" if here else "its name has to mean the locked image"
            found = ResolvedImage(name=image.name, digest=digest, present=here, origin=ImageOrigin.LOCAL, why=why)
            return self._with_wishes(found, here=True)
        if image.pull is PullPolicy.NEVER:
            what = f"image {image.name} is not on this host as it is locked, {digest[:19]}"
            raise NotFoundError(what, hint="its pull policy is `never`: load it, or lock what is here")
        _, _, manifest = self.client.select(image.reference.with_digest(digest), image.platform)
        return self._offered(image, digest, manifest, "the lock names another image" if local else "not on the host")

    def _id(self, digest: str) -> str:
        """Digest of the configuration of an image that is here; empty when it is broken."""
        try:
            return str(self.store.document(digest)["config"]["digest"])
        except BayplanError:
            return ""

    def _offered(self, image: Image, digest: str, manifest: Mapping[str, Any], why: str) -> ResolvedImage:
        """What a registry has, with what its configuration says before a pull."""
        config = _config(image, self.client.config(image.reference, manifest))
        return ResolvedImage(
            name=image.name,
            digest=digest,
            present=False,
            origin=ImageOrigin.REGISTRY,
            size_bytes=sum(item["size"] for item in [manifest["config"], *manifest["layers"]]),
            why=why,
            volumes=config.volumes,
            exposed=config.exposed_ports,
        )

    def _with_wishes(self, found: ResolvedImage, *, here: bool = False) -> ResolvedImage:
        """With the paths at which it asks for volumes, and the ports it exposes, when it is here."""
        if not (found.present or here):
            return found
        try:
            config = self.store.get(found.digest).config
        except BayplanError:  # a broken one is told of by whoever needs it
            return found
        return found.model_copy(update={"volumes": config.volumes, "exposed": config.exposed_ports})

    def create(self, image: Image, digest: str, report: Report = silent) -> None:
        """Pull exactly the planned digest and unpack it, or build what was planned."""
        if image.build is not None:
            self.builder.create(image, image.build, digest, report)
            return
        if digest and self._name_again(image, digest, report):
            return
        from bayplan.runtime.native.images.pull import pull

        pull(self.store, self.layers, self.client, image.reference, digest or None, image.platform, report)
        self._asked.note(image)

    def _name_again(self, image: Image, digest: str, report: Report) -> bool:
        """Whether the image of a digest is here, whole: then the name is given to it without asking a registry."""
        with self.store.in_use():
            if not self.holds(digest):
                return False
            self.layers.ensure(self.store.get(digest), self.store, report)
            self.store.tag(image.reference, digest)
        return True

    def holds(self, digest: str) -> bool:
        """Whether the image of a digest is here, whole, whatever its name."""
        return self.store.blob(digest).is_file() and not any(damage(self.store, digest, deep=False))

    def rootfs(self, name: str, digest: str, report: Report = silent) -> tuple[StoredImage, tuple[Path, ...]]:
        """An image and its layers, topmost first. ``digest`` empty means what the name stands for here."""
        wanted = digest or self.store.find(ImageReference.parse(name))
        if wanted is None:
            raise NotFoundError(f"image {name} is not on this host", hint="pull it first")
        stored = self._read.get(wanted)
        if stored is None:
            stored = self._read[wanted] = self.store.get(wanted)
        return stored, self.layers.ensure(stored, self.store, report)

    def config(self, digest: str) -> ImageConfig | None:
        """What an image gives its containers; None where it is not here any more, or broken."""
        if digest and digest not in self._read:
            try:
                self._read[digest] = self.store.get(digest)
            except BayplanError:  # whoever needs it tells of that
                return None
        return self._read[digest].config if digest else None

    def platform(self, name: str) -> str:
        """For which platform the image of a name is, as it says; empty when it is not here or says nothing."""
        digest = self.store.find(ImageReference.parse(name))
        try:
            found = self.store.get(digest) if digest else None
        except BayplanError:  # a broken one is told of by whoever needs it
            return ""
        return f"{found.os or 'linux'}/{found.architecture}" if found and found.architecture else ""

    def observe(self, names: Sequence[str]) -> list[Observed]:
        """Those of the named images that are here."""
        found = []
        for name in names:
            digest = self.store.find(ImageReference.parse(name))
            if digest is not None:
                image = Image(name=name)
                status = Status(state=State.READY)
                found.append(Observed(actual=image, declared=image, status=status, image_digest=digest))
        return found

    def lost(self, digests: Iterable[str]) -> frozenset[str]:
        """Which of these images have a layer that is not unpacked any more."""
        return frozenset(digest for digest in set(digests) if digest and self._has_lost(digest))

    def _has_lost(self, digest: str) -> bool:
        try:
            chains = self.store.get(digest).chain_ids
        except BayplanError:  # its documents are gone: `check` says so, and what runs goes on
            return False
        return not all(self.layers.path(chain).is_dir() for chain in chains)

    def delete(self, name: str, used: Collection[str], kept: Collection[str] = ()) -> None:
        """Remove a name and what only it used, but what is ``kept``.

        Raises ConflictError while a container runs from it: its digest is in ``used``.
        """
        reference = ImageReference.parse(name)
        digest = self.store.find(reference)
        if digest is None:
            return
        if digest in used and list(self.store.list().values()).count(digest) == 1:
            raise InUseError(f"image {name} is used by a container", hint="remove the container first")
        self.forget(reference)
        self.collect({*used, *kept})

    def forget(self, reference: ImageReference) -> None:
        """Remove a name; ``collect`` frees the space."""
        self.store.remove(reference)
        self.builder.forget(str(reference))

    def collect(self, used: Collection[str]) -> None:
        """Free what neither a name, nor a container (``used``), nor the cache of builds needs."""
        kept = list(self.builder.cache.kept())
        self.store.collect(
            self.layers.root,
            keep_chains=[made.chain for made in kept],
            keep_digests=used,
            keep_blobs=[made.digest for made in kept],
        )


def _config(image: Image, config: Mapping[str, Any]) -> ImageConfig:
    try:
        return image_config(config.get("config") or {})
    except ValueError as error:
        what = f"the registry's image {image.name} is malformed: {error}"
        raise CorruptStateError(what, hint="use another image") from error
