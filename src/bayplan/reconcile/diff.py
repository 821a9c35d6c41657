"""Desired against observed, field by field: pure, driven by the models' own annotations.

Three-way: a field that the declaration leaves unset is compared only when it was set the last time (then it goes back
to its default); what an image or the engine sets by default is no difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from bayplan.models import Change, Container, Kind, Resource, comparable_fields, is_sensitive
from bayplan.models.secret import may_be_secret
from bayplan.reconcile.plan import FieldChange
from bayplan.reconcile.reasons import DRIFT, EDITED, IMAGE, REMOVED
from bayplan.reconcile.spellings import canonical, plain, unset
from bayplan.runtime.protocol import Facts, Observed

MASK = "********"


def compare(desired: Resource, observed: Observed, facts: Facts) -> tuple[FieldChange, ...]:
    """The fields of ``desired`` that the observed resource does not have, each with reason and way of change."""
    changes: list[FieldChange] = []
    for name, (info, change) in comparable_fields(type(desired)).items():
        wanted, actual = getattr(desired, name), getattr(observed.actual, name)
        if wanted == actual:  # nearly always; the rest asks whether it only looks different
            continue
        last = getattr(observed.declared, name) if observed.declared else None
        if unset(wanted) and (observed.declared is None or unset(last)):
            # Never declared: left alone on engines that show effective values; ours shows the declaration itself.
            continue
        if canonical(name, wanted) == canonical(name, actual):
            continue
        if name in observed.alike:
            change = Change.NONE  # noqa: PLW2901 - it comes to the same: recorded, and nothing is done
        elif (
            desired.kind is Kind.CONTAINER and change is Change.IN_PLACE and not _in_place(name, wanted, actual, facts)
        ):
            change = Change.RECREATE  # noqa: PLW2901 - this engine cannot do it milder
        why = _reason(name, wanted, actual, last, known=observed.declared is not None)
        changes.extend(_entries(name, wanted, actual, why, change, sensitive=is_sensitive(info)))
    return tuple(changes)


def _in_place(name: str, wanted: Any, actual: Any, facts: Facts) -> bool:
    """Whether this engine changes a field on a running container: all of it, or every part of it that differs."""
    if name in facts.in_place:
        return True
    if not isinstance(wanted, BaseModel) or not isinstance(actual, BaseModel):
        return False
    for part in type(wanted).model_fields:
        before, after, path = getattr(actual, part), getattr(wanted, part), f"{name}.{part}"
        if before == after:
            continue
        if path not in facts.in_place or (unset(after) and path not in facts.resets):
            return False
    return True


def _reason(name: str, wanted: Any, actual: Any, last: Any, *, known: bool) -> str:
    if unset(wanted):
        return REMOVED
    if known and canonical(name, wanted) == canonical(name, last):
        return DRIFT
    return EDITED if known else "differs from what was found on the host"


def _entries(
    name: str, wanted: Any, actual: Any, why: str, change: Change, *, sensitive: bool
) -> Iterator[FieldChange]:
    """One entry for a plain field, one for each key of a mapping, one for each field of a nested model."""
    before, after = plain(actual), plain(wanted)
    if not (isinstance(before, dict) or isinstance(after, dict)):
        yield FieldChange(path=name, before=before, after=after, why=why, how=change)
        return
    before, after = before or {}, after or {}
    if not isinstance(before, dict) or not isinstance(after, dict):
        yield FieldChange(path=name, before=before, after=after, why=why, how=change)
        return
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        hide = sensitive and any(may_be_secret(key, one) for one in (old, new))
        yield FieldChange(
            path=f"{name}[{key}]",
            before=MASK if hide and old is not None else old,
            after=MASK if hide and new is not None else new,
            why=REMOVED if new is None and why == EDITED else why,
            how=change,
        )


def image_change(desired: Container, observed: Observed, digest: str, why: str) -> FieldChange | None:
    """The entry for a container whose image's digest moved (same reference, other content)."""
    if not digest or digest == observed.image_digest:
        return None
    return FieldChange(path=IMAGE, before=observed.image_digest or None, after=digest, why=why, how=Change.RECREATE)
