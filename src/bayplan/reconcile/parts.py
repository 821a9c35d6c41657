"""Generations of a part of a project: what an apply of some services, or one that spares orphans, leaves declared.

Were it that part alone, a heal would take the rest for what is declared no more; were there none, take the part back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from bayplan.errors import BayplanError
from bayplan.models import Kind, Resource, ResourceId, Stack
from bayplan.reconcile.graph import requirements
from bayplan.reconcile.one_off import of_services
from bayplan.reconcile.plan import Extent, Plan, service_of
from bayplan.record.generations import Generation, Generations


def with_the_rest(made: Generation, plan: Plan, generations: Generations) -> Generation:
    """A generation of what a plan declares, with what the last one says of the rest, as far as the plan let it be."""
    if plan.extent is Extent.PROJECT:
        return made
    try:
        last = generations.last(made.project)
    except BayplanError:
        return made  # the part is all that is known
    rest = _rest(last.stack, made.stack, plan)
    stack = _joined(made.stack, last.stack, rest)
    names = {item.name for item in stack.images}
    return made.model_copy(
        update={
            "stack": stack,
            "digests": {name: digest for name, digest in (last.digests | made.digests).items() if name in names},
            "contents": _of(last.contents, rest) | made.contents,
            "withheld": _of(last.withheld, rest) | made.withheld,
            "stopped": (*_of(dict.fromkeys(last.stopped), rest), *made.stopped),
        }
    )


def of(made: Generation, part: Stack) -> Generation:
    """What a generation says of the services of a part, and of what they need."""
    wanted = {service_of(item) for item in part.containers}
    known = dict.fromkeys(service_of(item) for item in made.stack.containers)
    stack = of_services(made.stack, [name for name in known if name in wanted])
    names = {item.name for item in stack.containers}
    return made.model_copy(update={"stack": stack, "stopped": tuple(name for name in made.stopped if name in names)})


def _rest(last: Stack, part: Stack, plan: Plan) -> set[ResourceId]:
    """What of the last generation is still declared beside the part: of a service that is in it nothing."""
    taken, services = {item.id for item in part.resources()}, {service_of(item) for item in part.containers} - {""}
    rest = [item for item in last.resources() if item.id not in taken and service_of(item) not in services]
    if plan.extent is Extent.DECLARED:
        # What is declared no more and not there either has no one to speak for it.
        rest = [item for item in rest if (there := plan.snapshot.get(item.id)) and there.managed]
    needed = {need for item in rest for need in requirements(item, last) if need.kind is not Kind.CONTAINER}
    kept = {item.id for item in rest if item.kind is not Kind.IMAGE or item.id in needed}
    return kept | {need for need in needed - taken if last.find(need)}


def _joined(part: Stack, last: Stack, rest: Collection[ResourceId]) -> Stack:
    """The part with ``rest`` of the last one, kind by kind and in its order."""
    update: dict[str, Any] = {}
    for name in type(part).model_fields:
        own, held = getattr(part, name), getattr(last, name, ())
        if any(isinstance(item, Resource) for item in held if isinstance(held, tuple)):
            before, now = {item.id: item for item in held}, {item.id: item for item in own}
            joined = {one: item for one, item in before.items() if one in rest or one in now} | now
            update[name] = tuple(joined.values())
    return part.model_copy(update=update)


def _of(held: Mapping[str, Any], rest: Iterable[ResourceId]) -> dict[str, Any]:
    """Entries by container, or by container and config, of the rest alone."""
    names = {item.name for item in rest}
    return {key: value for key, value in held.items() if key.partition("/")[0] in names}
