"""The platforms that one build makes an image for, and the index that lists what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bayplan.errors import DeclarationError
from bayplan.models import Build, Image
from bayplan.registry.platforms import wishes
from bayplan.runtime.native.images.build import platforms
from bayplan.runtime.native.images.convert import INDEX_TYPE, digest_of, encoded, index_entry
from bayplan.runtime.native.images.store import ImageStore


@dataclass(frozen=True)
class Part:
    """One platform of a build, empty for the host's: the manifest that is here, and the fingerprint it was built by."""

    platform: str
    local: str = ""
    earlier: str = ""


def wanted(image: Image, build: Build) -> tuple[list[str], int]:
    """The platforms in their shortest form, and which one the name stands for here. Raises DeclarationError."""
    try:
        found = list(dict.fromkeys(platforms.parse(text) for text in build.platforms))
        asked = platforms.parse(image.platform) if image.platform else ""
    except ValueError as error:
        raise DeclarationError(str(error), where=str(image.id), hint="such as linux/arm64") from error
    fitting = [at for at, item in enumerate(found) if wishes(item)[0] in wishes(asked or platforms.host())]
    if asked and not fitting:
        what = f"it is wanted for {asked}, and built for {', '.join(found)}"
        raise DeclarationError(what, where=str(image.id), hint=f"add {asked} to the platforms of its build")
    return found, next(iter(fitting), 0)


def write_index(store: ImageStore, made: Sequence[tuple[str, str]]) -> str:
    """Store the index of platforms and manifests (OCI image specification, "Image Index"); its digest."""
    entries = [index_entry(store, digest) | {"platform": _object(platform)} for platform, digest in made]
    data = encoded({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries})
    digest = digest_of(data)
    store.write(digest, [data])
    return digest


def platform_in(entry: Mapping[str, Any]) -> str:
    """That of an entry of an index."""
    found = entry.get("platform")
    return platforms.of(found if isinstance(found, dict) else {})


def _object(platform: str) -> dict[str, str]:
    names = ("os", "architecture", "variant")
    return dict(zip(names, platform.split("/"), strict=False))
