"""What of a container may differ from its declaration: differences that somebody asked not to be mended.

For single containers alone; a stack says what it wants. Where such a container is made anew for another reason, it is
made as declared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from bayplan.errors import DeclarationError
from bayplan.models import Container, ResourceId, Stack, comparable_fields
from bayplan.reconcile.plan import Action, Plan
from bayplan.runtime.protocol import Observed, Snapshot

ALL = "*"
_KEYS = ("target", "network", "source")
"""By what the entries of a list are the same thing, the first that they have."""


class Rule(StrEnum):
    """How a field is compared."""

    STRICT = "strict"
    IGNORE = "ignore"
    ALLOW_MORE = "allow_more_present"


Rules = Mapping[str, Rule]
"""Field, part of ``resources`` (``resources.memory``) or ``*`` to rule."""


def check(rules: Rules, where: str) -> None:
    """Raise DeclarationError for a field that is none, or that has nothing to have more of."""
    known = comparable_fields(Container)
    for name, rule in rules.items():
        head, _, part = name.partition(".")
        field = known.get(head)
        if name != ALL and (field is None or (part and part not in _parts(head))):
            raise DeclarationError(f"comparisons: there is no option {name}", where=where)
        plural = (
            field is not None
            and not part
            and Container.model_fields[head].get_default(call_default_factory=True) in ((), {})
        )
        if rule is Rule.ALLOW_MORE and not plural and name != ALL:
            raise DeclarationError(
                f"comparisons: {name} holds one value", where=where, hint="allow_more_present is for lists and maps"
            )


def planned(stack: Stack, there: Snapshot, rules: Mapping[ResourceId, Rules], make: Callable[[Stack], Plan]) -> Plan:
    """The plan of a stack whose containers are compared by their rules; ``make`` plans one strictly."""
    relaxed = _relaxed(stack, there, rules)
    if relaxed is stack:
        return make(stack)
    made = make(relaxed)
    anew = [step.resource for step in made.steps if step.action in (Action.CREATE, Action.RECREATE)]
    if not any(item in rules for item in anew):
        return made
    return make(_relaxed(stack, there, {item: rule for item, rule in rules.items() if item not in anew}))


def _relaxed(stack: Stack, there: Snapshot, rules: Mapping[ResourceId, Rules]) -> Stack:
    found = {
        item.id: relaxed(item, seen, rules[item.id])
        for item in stack.containers
        if rules.get(item.id) and (seen := there.get(item.id)) is not None and seen.managed
    }
    if not found:
        return stack
    containers = tuple(found.get(item.id, item) for item in stack.containers)
    # An image that is only ignored is not fetched, and its name may mean another one by now.
    strict = [one for one in containers if one.id not in found or _of(rules[one.id], "image") is not Rule.IGNORE]
    kept = {one.image for one in strict}
    mounted = {getattr(mount, "source", "") for item in containers for mount in item.mounts}
    images = tuple(item for item in stack.images if item.name in kept | mounted)
    return stack.model_copy(update={"containers": containers, "images": images})


def relaxed(desired: Container, seen: Observed, rules: Rules) -> Container:
    """The declaration with what is there in the place of differences that are allowed."""
    actual, update = seen.actual, {}
    assert isinstance(actual, Container)
    for name in comparable_fields(Container):
        before, after, rule = getattr(actual, name), getattr(desired, name), _of(rules, name)
        if rule is Rule.IGNORE:
            update[name] = before
        elif rule is Rule.ALLOW_MORE and isinstance(after, (dict, tuple)) and before is not None:
            update[name] = _with_more(after, before)
    parts = {name.partition(".")[2]: rule for name, rule in rules.items() if name.startswith("resources.")}
    if ignored := [part for part, rule in parts.items() if rule is Rule.IGNORE]:
        kept = {part: getattr(actual.resources, part) for part in ignored}
        update["resources"] = update.get("resources", desired.resources).model_copy(update=kept)
    return desired.model_copy(update=update)


def _of(rules: Rules, name: str) -> Rule:
    return rules.get(name) or rules.get(ALL) or Rule.STRICT


def _parts(field: str) -> Mapping[str, Any]:
    from bayplan.models import Resources

    return Resources.model_fields if field == "resources" else {}


def _with_more(wanted: Any, there: Any) -> Any:
    """What is wanted, and what there is besides."""
    if isinstance(wanted, dict):
        return {**there, **wanted}
    known = {_key(item) for item in wanted}
    return (*wanted, *(item for item in there if _key(item) not in known))


def _key(item: Any) -> Any:
    if not isinstance(item, BaseModel):
        return item
    name = next((key for key in _KEYS if key in type(item).model_fields), None)
    published = getattr(item, "published", None)
    return str(item) if name is None or published is not None else getattr(item, name)
