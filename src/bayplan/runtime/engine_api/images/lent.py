"""Builds by Bayplan's own builder for another engine: built on this host's core, then loaded into the engine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bayplan.errors import NotFoundError, StalePlanError
from bayplan.models import Image
from bayplan.runtime.engine_api.bases import digest_of
from bayplan.runtime.engine_api.client import EngineClient, told
from bayplan.runtime.engine_api.images.transfer import checked, lines
from bayplan.runtime.protocol import ImageOrigin, Progress, Report, ResolvedImage, Runtime

if TYPE_CHECKING:
    from bayplan.runtime.engine_api.images.builds import Local

_PREFIX = "fingerprint:"


class LentBuilder:
    """``make`` gives the runtime that builds, at its first use."""

    def __init__(self, make: Callable[[], Runtime]) -> None:
        self._make = make

    @cached_property
    def _core(self) -> Runtime:
        return self._make()

    def close(self) -> None:
        """Let go of it."""
        if "_core" in self.__dict__:
            self._core.close()

    def resolve(self, image: Image, local: Local) -> ResolvedImage:
        """Present when the core would build just what the engine has."""
        planned = self._core.resolve(image)
        held = local(image.reference, image.platform)
        if planned.present and held is not None and self._is_same(image, held):
            volumes = tuple(sorted((held.get("Config") or {}).get("Volumes") or ()))
            found = {"digest": digest_of(held, image.name), "present": True, "volumes": volumes}
            return planned.model_copy(update={"origin": ImageOrigin.BUILD, "why": "", **found})
        why = planned.why or ("the engine has another image under this name" if held else "not in the engine yet")
        return planned.model_copy(update={"digest": _planned(planned), "present": False, "why": why})

    def create(self, image: Image, digest: str, client: EngineClient, report: Report) -> None:
        """Build it if need be and load it under its name. Raises StalePlanError when the plan is no longer true."""
        planned = self._core.resolve(image)
        if digest not in ("", _planned(planned)):
            raise StalePlanError(f"what image {image.name} is built from changed", hint="make a new plan")
        if not planned.present:
            # The lock of this state root is the core's too, and whoever changes something here holds it.
            self._core.create(image, project="", digest=planned.digest, report=report)
        what = f"image {image.name}"
        with tempfile.TemporaryFile() as archive:
            self._core.image_verbs.save([image.name], archive, "docker-archive")
            archive.seek(0)
            report(Progress(what, message="load it into the engine"))
            with told(what):
                headers = {"Content-Type": "application/x-tar"}
                answer = client.streamed("POST", "/images/load", headers=headers, data=archive)
                for _ in checked(lines(answer), what):
                    pass

    def _is_same(self, image: Image, held: Mapping[str, Any]) -> bool:
        """By the configuration's digest; where images are known by other ids, by the layers."""
        try:
            mine = self._core.image_verbs.inspect(image.name)
        except NotFoundError:
            return False
        by_id = held["Id"] in (mine["Id"], mine.get("Digest"))
        return by_id or (
            held.get("RootFS", {}).get("Layers") == mine["RootFS"]["Layers"]
            and (held.get("Config") or {}).get("Labels") == (mine["Config"] or {}).get("Labels")
        )


def _planned(found: ResolvedImage) -> str:
    """What is known before the engine has it: never an id of the engine's."""
    return found.digest if found.digest.startswith(_PREFIX) else _PREFIX + found.digest.removeprefix("sha256:")
