"""One entry of the table: where a field stands in a specification, and how it is spelled there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bayplan.models.swarm import Service

Spec = dict[str, Any]


class Names(Protocol):
    """Ids of a swarm to names, and back. A specification holds ids."""

    def network_id(self, name: str) -> str:
        """Raises NotFoundError."""

    def network_name(self, network_id: str) -> str:
        """The id itself when nobody knows it."""

    def secret_id(self, name: str) -> str:
        """Raises NotFoundError."""

    def config_id(self, name: str) -> str:
        """Raises NotFoundError."""


@dataclass(frozen=True)
class Option:
    """``write`` gives the value at ``path`` (None: nothing stands there), ``read`` the fields that are not defaults.

    ``write`` gets what stands there now, so that what we have no word for stays.
    """

    fields: tuple[str, ...]
    path: tuple[str, ...]
    write: Callable[[Service, Names, Any], Any]
    read: Callable[[Any, Names], Mapping[str, Any]]

    def put(self, spec: Spec, service: Service, names: Names) -> None:
        """Write the fields into a specification."""
        *above, last = self.path
        place: Any = spec
        for part in above:
            place = place.get(part) if isinstance(place, dict) else None
        value = self.write(service, names, place.get(last) if isinstance(place, dict) else None)
        if value in (None, [], {}, ""):
            # Nothing is made that was not there: an empty map would start every task anew.
            if isinstance(place, dict):
                place.pop(last, None)
            return
        place = spec
        for part in above:
            if not isinstance(place.get(part), dict):
                place[part] = {}
            place = place[part]
        place[last] = value

    def get(self, spec: Mapping[str, Any], names: Names) -> Mapping[str, Any]:
        """Read the fields from a specification; none where nothing stands."""
        place: Any = spec
        for part in self.path:
            place = place.get(part) if isinstance(place, Mapping) else None
            if place is None:
                return {}
        return self.read(place, names)


def one(
    field: str,
    *path: str,
    out: Callable[[Any], Any] = lambda value: value,
    back: Callable[[Any], Any] = lambda value: value,
) -> Option:
    """An option for a field that stands alone; ``out`` and ``back`` spell it. A falsy value read is the default."""

    def write(service: Service, _: Names, __: Any) -> Any:
        value = getattr(service, field)
        return None if value is None else out(value)

    def read(value: Any, _: Names) -> Mapping[str, Any]:
        return {} if value in (None, "", [], {}) else {field: back(value)}

    return Option((field,), path, write, read)
