"""What an image's name stands for in a swarm: nodes pull by digest, so that all of them run the same."""

from __future__ import annotations

from typing import NoReturn

from bayplan.errors import (
    AccessDeniedError,
    BayplanError,
    NotFoundError,
    RuntimeFailureError,
    UnavailableError,
    UnsupportedError,
)
from bayplan.models import Image, ImageReference, PullPolicy, Settings
from bayplan.runtime.asked import Asked
from bayplan.runtime.engine_api.answers import AbsentError
from bayplan.runtime.engine_api.client import told
from bayplan.runtime.engine_api.images.remote import Distribution
from bayplan.runtime.protocol import ImageOrigin, ResolvedImage
from bayplan.runtime.swarm.cluster import Cluster

_AWAY = (NotFoundError, AccessDeniedError, UnavailableError, RuntimeFailureError)


class Images:
    """Resolves names; it pulls nothing."""

    def __init__(self, cluster: Cluster, settings: Settings) -> None:
        self.cluster = cluster
        self._remote = Distribution(cluster.client)
        self._asked = Asked(settings.state_root / "asked")

    def resolve(self, image: Image) -> ResolvedImage:
        """By its pull policy: what services run already, or what the registry has. No digest: no registry knows it.

        Raises NotFoundError, AccessDeniedError or UnavailableError for one that this manager does not have either.
        """
        if image.build is not None:
            raise UnsupportedError(
                "a swarm builds no images", where=f"image {image.name}", hint="build and push it, and name it"
            )
        if image.pin is not None:
            return _resolved(image, image.pin.digest, ImageOrigin.REGISTRY)
        if image.reference.digest:
            return _resolved(image, image.reference.digest, ImageOrigin.REGISTRY)
        due = image.pull_every is not None and self._asked.is_due(image, image.pull_every)
        if image.pull is not PullPolicy.ALWAYS and not due and (pinned := self._pinned(image.reference)):
            return _resolved(image, pinned, ImageOrigin.LOCAL)
        if image.pull is PullPolicy.NEVER:
            return _resolved(image, "", ImageOrigin.LOCAL)
        try:
            digest = self._remote.digest(image.reference, image.platform)
        except BayplanError as error:
            if not isinstance(error, _AWAY) or not self._is_here(image.reference):
                raise
            # Nodes may have it as this manager has it: the swarm says which do not.
            return _resolved(image, "", ImageOrigin.LOCAL)
        if image.pull_every is not None:
            self._asked.note(image)
        return _resolved(image, digest, ImageOrigin.REGISTRY)

    def _is_here(self, reference: ImageReference) -> bool:
        with told(f"image {reference.familiar}"):
            try:
                return bool(self.cluster.client.call("GET", f"/images/{reference}/json"))
            except AbsentError:
                return False

    def _pinned(self, wanted: ImageReference) -> str:
        """The digest by which a service runs it, of several the one changed last."""
        for found in sorted(self.cluster.services(), key=lambda one: str(one.get("UpdatedAt", "")), reverse=True):
            name, _, digest = str(found["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]).partition("@")
            try:
                if digest and ImageReference.parse(name) == wanted:
                    return digest
            except ValueError:
                continue
        return ""


class ImagesOfNodes:
    """``runtime.images.ImageVerbs`` of a swarm: its images are its nodes', so that all is refused but the keeping."""

    def has(self, name: str, digest: str) -> bool:
        """Nodes pull what they lack: no plan of a swarm does."""
        return True

    def keep(self, project: str, digests: object) -> None:
        """Nodes keep what they pulled; what one lacks it pulls by the digest in the service."""

    def __getattr__(self, name: str) -> NoReturn:
        raise UnsupportedError("a swarm has no images of its own", hint="see to them on a node, with engine: docker")


def _resolved(image: Image, digest: str, origin: ImageOrigin) -> ResolvedImage:
    """Present: nodes pull what they lack when a task comes to them."""
    return ResolvedImage(name=image.name, digest=digest, present=True, origin=origin)
