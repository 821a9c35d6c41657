"""What a plan of the engine means to Pulumi: which properties differ, and whether each needs a replacement.

Nothing is compared here that the plan does not show. The plan knows fields; where the program's own values differ
below one, the path goes on to what differs: ``ports[0].hostIp``, ``labels["a.b"]``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bayplan.models import Change
from bayplan.pulumi import names
from bayplan.pulumi.shapes import Shape
from bayplan.pulumi.values import UNKNOWN, is_known, plain

_MOVED = "image.digest"
"""Path of a plan that is no field: what the image's name stands for is another content now."""

Place = tuple[str | int, ...]


class Way(StrEnum):
    """What happens to one property."""

    ADD = "add"
    DELETE = "delete"
    UPDATE = "update"


@dataclass(frozen=True)
class Difference:
    """One property that differs."""

    way: Way
    replaces: bool
    of_input: bool


@dataclass
class Verdict:
    """What Diff answers: what differs by its path, whether there is anything to do, and the order of a replacement."""

    changed: bool = False
    differences: dict[str, Difference] = field(default_factory=dict)
    delete_first: bool = False

    @property
    def replaces(self) -> list[str]:
        """Top-level properties that need a replacement."""
        return list(dict.fromkeys(_top(path) for path, one in self.differences.items() if one.replaces))

    @property
    def top_level(self) -> list[str]:
        """Top-level properties that differ."""
        return list(dict.fromkeys(map(_top, self.differences)))

    def add(self, path: str, way: Way, *, replaces: bool, of_input: bool = True) -> None:
        """Note a difference."""
        self.changed = True
        self.differences.setdefault(path, Difference(way, replaces, of_input))

    def ignore(self, paths: Sequence[str]) -> None:
        """Leave out what the program wants left alone (``ignoreChanges``)."""
        kept = {path: one for path, one in self.differences.items() if not any(_below(path, top) for top in paths)}
        if kept != self.differences and not kept:
            self.changed = False
        self.differences = kept


def of_fields(
    shape: Shape, changes: Sequence[Mapping[str, Any]], olds: Mapping[str, Any], news: Mapping[str, Any]
) -> Verdict:
    """The fields of a plan's step as properties. ``olds`` and ``news`` are inputs by their fields."""
    verdict = Verdict()
    for change in changes:
        place, replaces = _place(change["path"]), change["how"] == Change.RECREATE
        inner = list(_differing(*_alike(olds.get(str(place[0])), news.get(str(place[0]))), place[:1]))
        inner = [one for one in inner if one[0][: len(place)] == place] or inner
        for where, way in inner:
            verdict.add(names.path(shape.properties, where), way, replaces=replaces)
        if not inner:  # the program says the same as before: the host drifted
            way = _way(change.get("before"), change.get("after"))
            verdict.add(names.path(shape.properties, place), way, replaces=replaces, of_input=False)
    return verdict


def of_inputs(shape: Shape, olds: Mapping[str, Any], news: Mapping[str, Any]) -> Verdict:
    """Inputs that no plan compares, and ones that are not known yet."""
    verdict = Verdict()
    for name in sorted({*olds, *news}):
        for place, way in _differing(*_alike(olds.get(name), news.get(name)), (name,)):
            verdict.add(names.path(shape.fields, place), way, replaces=shape.change(name) is Change.RECREATE)
    return verdict


def unknown_filled(news: Any, olds: Any) -> Any:
    """Fields with the old value wherever the new one is not known yet; without it where there is no old one."""
    if news is UNKNOWN:
        return olds
    if isinstance(news, Mapping):
        before = olds if isinstance(olds, Mapping) else {}
        found = {name: unknown_filled(item, before.get(name)) for name, item in news.items()}
        return {name: item for name, item in found.items() if item is not None}
    if isinstance(news, (list, tuple)):
        at = _at(olds, len(news))
        return [item for item in map(unknown_filled, news, at) if item is not None]
    return news


def unknown_fields(news: Mapping[str, Any]) -> dict[str, Any]:
    """The top-level fields in which something is unknown."""
    return {name: value for name, value in news.items() if not is_known(value)}


def _place(path: str) -> Place:
    """``labels[a.b]`` of a plan as field and key."""
    if path == _MOVED:
        return ("image_digest",)
    name, bracket, rest = path.partition("[")
    return (name, rest.removesuffix("]")) if bracket else (name,)


def _differing(old: Any, new: Any, place: Place) -> Iterator[tuple[Place, Way]]:
    old, new = plain(old), plain(new)
    if old == new and new is not UNKNOWN:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from _differing(old.get(key), new.get(key), (*place, key))
    elif isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)):
        for index in range(max(len(old), len(new))):
            yield from _differing(_at(old, index + 1)[index], _at(new, index + 1)[index], (*place, index))
    else:
        yield place, _way(old, new)


def _alike(old: Any, new: Any) -> tuple[Any, Any]:
    """A map and nothing as two maps: each of its keys came or went."""
    if isinstance(plain(new), Mapping) and old is None:
        return {}, new
    return (old, {}) if isinstance(plain(old), Mapping) and new is None else (old, new)


def _at(items: Any, length: int) -> list[Any]:
    """So many items; None for those that are not there."""
    given = list(items) if isinstance(items, (list, tuple)) else []
    return [*given[:length], *[None] * (length - len(given))]


def _way(before: Any, after: Any) -> Way:
    return Way.ADD if before is None else Way.DELETE if after is None else Way.UPDATE


def _top(path: str) -> str:
    return path.partition(".")[0].partition("[")[0]


def _below(path: str, top: str) -> bool:
    return path == top or path.startswith((f"{top}.", f"{top}["))
