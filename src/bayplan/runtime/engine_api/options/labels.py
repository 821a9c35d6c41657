"""Labels, what they say, and annotations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from bayplan.models import Container, labels
from bayplan.runtime.engine_api.options.option import Option, Plain
from bayplan.runtime.engine_api.options.shape import Body, Shape
from bayplan.values import frozen


@frozen
class Labels(Option):
    """Labels over the image's, without those by which tools keep their own books."""

    def write(self, wanted: Container, body: Body) -> None:
        """As they are."""
        if wanted.labels:
            body.config["Labels"] = dict(wanted.labels)

    def read(self, shape: Shape) -> Any:
        """Those that are not the image's."""
        image = shape.image.get("Labels") or {}
        found = public_labels(shape.config.get("Labels"))
        return {name: value for name, value in found.items() if image.get(name) != value}

    def foreign(self, wanted: Container, actual: Container) -> Any:
        """One of no project lacks none of its marks: they cannot be put on it, and whose it is will be recorded."""
        if labels.PROJECT in actual.labels:
            return super().foreign(wanted, actual)
        marks = {name: one for name, one in wanted.labels.items() if name.startswith((labels.OWN, labels.COMPOSE))}
        return {**actual.labels, **marks}


def public_labels(found: Mapping[str, str] | None) -> dict[str, str]:
    """Labels without our own marks and what Compose notes for itself (its hash, its files, ``oneoff=False``)."""
    return {name: value for name, value in (found or {}).items() if not _is_private(name, value)}


def _is_private(name: str, value: str) -> bool:
    if name == labels.ONE_OFF:
        return value != "True"
    return name.startswith(labels.OWN) or (name.startswith(labels.COMPOSE) and name not in _SHARED_LABELS)


_SHARED_LABELS = frozenset({labels.PROJECT, labels.SERVICE, labels.NUMBER, labels.NETWORK, labels.VOLUME})


@frozen
class Service(Option):
    """The service of a project, known by its label."""

    kept: ClassVar[bool] = True

    def write(self, wanted: Container, body: Body) -> None:
        """The labels say it."""

    def read(self, shape: Shape) -> Any:
        """What the label says."""
        return (shape.config.get("Labels") or {}).get(labels.SERVICE, "")

    def settle(self, declared: Any, own: Shape, found: Shape) -> Any:
        """As declared: outside a project there is a service without its label."""
        return declared


OPTIONS: tuple[Option, ...] = (
    Labels("labels"),
    Service("service"),
    Plain("annotations", since=(1, 43), key="Annotations", to=dict, back=dict),
)
