"""All options of a container, and what is done with them together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bayplan.models import Container
from bayplan.runtime.engine_api.engine import Engine
from bayplan.runtime.engine_api.options import (
    endpoints,
    health,
    isolation,
    labels,
    limits,
    mounts,
    process,
    surroundings,
)
from bayplan.runtime.engine_api.options.option import UNREADABLE, Gap, Kept, Option, default_of
from bayplan.runtime.engine_api.options.shape import NOTHING, Body, Shape

KEPT = (
    *("depends_on", "secrets", "configs", "post_start", "pre_stop", "publish_all_ports", "volumes_from"),
    "update_config",
)
"""Fields that guide us and not the engine; what is given as files is put into the container, not asked for."""
TABLE: Mapping[str, Option] = {
    option.field: option
    for option in (
        *process.OPTIONS,
        *labels.OPTIONS,
        *health.OPTIONS,
        *isolation.OPTIONS,
        *surroundings.OPTIONS,
        *limits.OPTIONS,
        *mounts.OPTIONS,
        *endpoints.OPTIONS,
        *(Kept(name) for name in KEPT),
    )
}
"""Field of ``Container`` to its option; every field but ``name`` is here (tests/unit/runtime/engine_api)."""
Table = Mapping[str, Option]


def written(wanted: Container, engine: Engine, image: Mapping[str, Any] = NOTHING, table: Table = TABLE) -> Body:
    """The create body of a container; ``image`` is the Config of its image."""
    body = Body(engine, image)
    for option in table.values():
        option.write(wanted, body)
    return body


def undeclared(name: str, found: Shape, table: Table = TABLE) -> Container:
    """A container whose declaration nobody knows, from what it shows."""
    seen = {field: option.read(found) for field, option in table.items()}
    values = {field: default_of(field) if value is UNREADABLE else value for field, value in seen.items()}
    return Container.model_construct(name=name, **{**values, "image": values["image"] or found.config.get("Image", "")})


def settled(declared: Container, found: Shape, table: Table = TABLE) -> Container:
    """What a container has, in the words of its declaration wherever that is what it was asked for."""
    own = Shape.of_body(written(declared, found.engine, found.image, table))
    values: dict[str, Any] = {}
    for field, option in table.items():
        stated = getattr(declared, field)
        seen = option.settle(stated, own, found)
        if seen is not stated and seen != stated:
            values[field] = seen
    return declared.model_copy(update=values) if values else declared


def gaps(wanted: Container, engine: Engine, table: Table = TABLE) -> Iterator[Gap]:
    """What this engine cannot honour of a container."""
    for option in table.values():
        yield from option.gaps(wanted, engine)
