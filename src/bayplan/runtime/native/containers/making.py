"""What a container is made of, as it is recorded: the facts that each start needs, and the OCI configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bayplan.errors import NotFoundError, UnsupportedError
from bayplan.models import Container, Settings, VolumeMount
from bayplan.runtime.native.containers import grants, health
from bayplan.runtime.native.containers.spec import Bundle, build_spec, image_mounts, process_environment
from bayplan.runtime.native.containers.spec import mounts as spec_mounts
from bayplan.runtime.native.containers.users import resolve
from bayplan.runtime.native.images.stored import ImageConfig


def whole(
    container: Container,
    image: ImageConfig,
    container_id: str,
    bundle: Path,
    *,
    lowerdirs: Sequence[Path],
    volumes: Mapping[str, Path],
    images: image_mounts.Layers,
    settings: Settings,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Facts and configuration as JSON values; ``bundle`` is the directory it will have.

    ``lowerdirs`` are topmost first. Raises NotFoundError for a volume, a user or a group that is not there.
    """
    for mount in container.mounts:
        if isinstance(mount, VolumeMount) and not volumes[mount.source].is_dir():
            raise NotFoundError(f"volume {mount.source} does not exist", where=f"container {container.name}")
    user = resolve(container.user or image.user, lowerdirs, container.group_add)
    made = Bundle(
        container_id,
        bundle,
        _command(container, image),
        process_environment(container, image.env, user),
        container.working_dir or image.working_dir or "/",
        user,
        None,
        volumes,
    )
    facts: dict[str, Any] = {
        "lowerdirs": [str(item) for item in lowerdirs],
        "stop_signal": image.stop_signal,
        "healthcheck": _image_check(container, image),
        "parts": spec_mounts.parts(container, volumes),
        "images": image_mounts.facts(container, images),
    }
    spec = build_spec(container, made, settings)
    for grant, file in grants.entries(container, settings, container_id):
        spec["mounts"].append(spec_mounts.bind(file, grant.target, "ro"))
    return facts, spec


def arguments(container: Container, image: ImageConfig) -> tuple[str, ...]:
    """Entrypoint and command; a declared entrypoint drops the image's command (Compose specification)."""
    entrypoint = image.entrypoint if container.entrypoint is None else container.entrypoint
    default = image.cmd if container.entrypoint is None else ()
    return (*entrypoint, *(default if container.command is None else container.command))


def _command(container: Container, image: ImageConfig) -> tuple[str, ...]:
    found = arguments(container, image)
    if not found:
        raise UnsupportedError(
            "neither the image nor the declaration has a command", where=f"container {container.name}"
        )
    return found


def _image_check(container: Container, image: ImageConfig) -> Mapping[str, Any] | None:
    """The image's health check; one that cannot be used is an error only where it would be."""
    try:
        return health.of_image(image.healthcheck)
    except UnsupportedError as error:
        if container.healthcheck is not None and container.healthcheck.test:
            return None
        error.where = f"container {container.name}"
        raise
