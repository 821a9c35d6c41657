"""Why something differs, in the words of plans; and the true reason where no declaration was edited.

A comparison knows the declaration and what was recorded last. A verb such as ``update`` records what it does, and a way
back declares what was: there it is not the declaration that changed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from bayplan.reconcile.spellings import canonical

if TYPE_CHECKING:
    from bayplan.models import Resource, Stack
    from bayplan.reconcile.plan import FieldChange, Plan, Step

EDITED = "the declaration changed"
REMOVED = "removed from the declaration; goes back to its default"
DRIFT = "drift: the host no longer has what was applied"
ABSENT = "declared, not on the host"
UNDECLARED = "no longer declared"
IMAGE = "image.digest"
"""Path of a field that no declaration has: what the name of an image stands for."""


def joined(fields: Iterable[FieldChange]) -> str:
    """The reasons of those fields that change something on the host."""
    return "; ".join(sorted({item.why for item in fields if item.how.weight}))


def edits(plan: Plan) -> bool:
    """Whether any field of it is said to have been edited."""
    return any(item.why in (EDITED, REMOVED) for step in plan.steps for item in step.fields)


def not_edited(plan: Plan, applied: Stack, why: str) -> Plan:
    """The plan with ``why`` for each field that ``applied`` declares just as the plan wants it."""
    return plan.model_copy(update={"steps": tuple(_step(step, applied, why, (EDITED, REMOVED)) for step in plan.steps)})


def backwards(plan: Plan, declared: Stack, why: str, where: str) -> Plan:
    """A plan of what was ``declared`` earlier: ``why`` its fields differ, and ``where`` that is declared."""
    words = {ABSENT: f"in {where}, not on the host", UNDECLARED: f"not in {where}"}
    moved = (EDITED, REMOVED, *(item.why for step in plan.steps for item in step.fields if item.path == IMAGE))
    steps = (_step(step, declared, why, moved) for step in plan.steps)
    told = tuple(step.model_copy(update={"why": words.get(step.why, step.why)}) for step in steps)
    kept = tuple(sentence.replace(f"is {UNDECLARED}", f"is not in {where}") for sentence in plan.kept)
    return plan.model_copy(update={"steps": told, "kept": kept})


def _step(step: Step, applied: Stack, why: str, untrue: Collection[str]) -> Step:
    there, wanted = applied.find(step.resource), step.desired
    if there is None or wanted is None:
        return step
    fields = tuple(
        item.model_copy(update={"why": why})
        if item.why in untrue and _part(there, item.path) == _part(wanted, item.path)
        else item
        for item in step.fields
    )
    before = joined(step.fields)
    said = joined(fields) + step.why.removeprefix(before) if step.why.startswith(before) else step.why
    return step.model_copy(update={"fields": fields, "why": said})


def _part(resource: Resource, path: str) -> Any:
    """What a declaration has at the path of a changed field; of the digest of an image nothing, in any."""
    if path == IMAGE:
        return None
    name, bracket, key = path.partition("[")
    found = canonical(name, getattr(resource, name, None))
    return found.get(key.removesuffix("]")) if bracket and isinstance(found, dict) else found
