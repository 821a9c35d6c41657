"""Single resources by the fields of their models, as a stack without a project: no short spellings, nothing added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import SecretBytes, ValidationError

from bayplan.app import kept
from bayplan.bridge.request import said
from bayplan.errors import DeclarationError
from bayplan.models import (
    RESOURCE_MODELS,
    Container,
    FileGrant,
    Image,
    ImageMount,
    Kind,
    Network,
    Resource,
    Settings,
    Stack,
    Volume,
)


def read(items: Sequence[Mapping[str, Any]], settings: Settings) -> Stack:
    """A stack of them; a container brings its images, and what it is granted. Raises DeclarationError."""
    found = [_resource(item) for item in items]
    images = {one.name: one for one in found if isinstance(one, Image)}
    for item, one in zip(items, found, strict=True):
        if isinstance(one, Container):
            images.setdefault(one.image, _made(Image, {"name": one.image, **(item.get("image") or {})}, one))
            for mount in one.mounts:
                if isinstance(mount, ImageMount):
                    images.setdefault(mount.source, Image(name=mount.source))
    return Stack(
        name="",
        images=tuple(images.values()),
        networks=tuple(one for one in found if isinstance(one, Network)),
        volumes=tuple(one for one in found if isinstance(one, Volume)),
        containers=tuple(_granted(one, settings) for one in found if isinstance(one, Container)),
    )


def _resource(item: Mapping[str, Any]) -> Resource:
    kinds = {kind.value: kind for kind in (Kind.IMAGE, Kind.NETWORK, Kind.VOLUME, Kind.CONTAINER)}
    kind = kinds.get(str(item.get("kind")))
    if kind is None:
        raise DeclarationError(f"unknown kind {item.get('kind')!r}", hint=f"one of {', '.join(kinds)}")
    found: Resource = _made(RESOURCE_MODELS[kind], {**(item.get("fields") or {}), "name": item.get("name")}, item)
    return found


def _made(model: type[Any], values: Mapping[str, Any], of: Mapping[str, Any] | Resource) -> Any:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        where = str(of.id) if isinstance(of, Resource) else f"{of.get('kind')} {of.get('name')}"
        raise DeclarationError(said(error), where=where) from error


def _granted(container: Container, settings: Settings) -> Container:
    """With the content of the secrets and configs that are kept on this host; what is not there stays empty."""
    if not container.secrets and not container.configs:
        return container
    update = {
        name: tuple(_grant(kind, one, settings) for one in getattr(container, name))
        for kind, name in ((Kind.SECRET, "secrets"), (Kind.CONFIG, "configs"))
    }
    return container.model_copy(update=update)


def _grant(kind: Kind, grant: FileGrant, settings: Settings) -> FileGrant:
    path, content = kept.path_of(kind, grant.source, settings), kept.read(kind, grant.source, settings)
    if content is None:
        return grant
    return grant.model_copy(update={"content": SecretBytes(content), "file": str(path)})
