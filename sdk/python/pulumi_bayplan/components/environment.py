"""One declaration in several environments, of which all differences are said and allowed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from pulumi_bayplan import outputs
from pulumi_bayplan.components import compose
from pulumi_bayplan.components.rules import covers
from pulumi_bayplan.stack import Stack

_ABSENT = object()


@dataclass(frozen=True)
class Difference:
    """A place in which an environment is not as the others: ``services.web.environment.LEVEL``, and the rule for it."""

    environment: str
    place: str
    rule: str
    """The place of ``allow`` that covers it; empty when none does."""


class Environment(pulumi.ComponentResource):
    """A project that is declared once, for dev, staging and prod alike.

    Each Pulumi stack is one environment. What is other there is written beside the declaration, and must be allowed
    by ``allow``: a difference that nobody meant ends the program, whichever environment it is run for. The rules go to
    the hosts as well, so that ``bayplan parity`` compares by them what really runs.
    """

    stack: Stack
    """What it is made of."""
    services: pulumi.Output[Mapping[str, outputs.StackService]]
    """What runs of each service."""
    differences: Sequence[Difference]
    """Every difference of any of the environments."""

    def __init__(
        self,
        name: str,
        *,
        definition: Mapping[str, Any],
        environments: Mapping[str, Any],
        allow: Mapping[str, str] | Sequence[str] = (),
        current: str | None = None,
        project: str | None = None,
        stack: Mapping[str, Any] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Make the one that is current.

        :param definition: The content of a Compose file. ``$`` in it is itself, no variable is looked up.
        :param environments: Each by its name, with what is other there: maps go into maps, anything else replaces.
        :param allow: Places that may differ, such as ``services.*.deploy.replicas``; or each with the reason for it.
            ``*`` is any name, ``**`` one or more of them, and a place covers all below it.
        :param current: Which one this is; the name of the Pulumi stack when unset.
        :param project: Name of the project on the host; ``NAME-ENVIRONMENT`` when unset.
        :param stack: Further arguments of the Stack, such as ``wait_timeout``.
        """
        super().__init__("bayplan:components:Environment", name, None, opts)
        current = current or pulumi.get_stack()
        if current not in environments:
            known = ", ".join(environments)
            raise pulumi.RunError(f"environment {name}: there is no {current!r}; there are {known} (the stack's name)")
        reasons = dict(allow) if isinstance(allow, Mapping) else dict.fromkeys(allow, "")
        self.differences = compared(definition, environments, list(reasons))
        _refuse(name, self.differences)
        declared = merged(definition, environments[current])
        rules = [{"path": place, "why": why} for place, why in reasons.items()]
        declared = merged(declared, {"x-bayplan": {"parity": {"allow": rules}}}) if rules else declared
        self.stack = Stack(
            name,
            pulumi.ResourceOptions(parent=self),
            definition=compose.resolved(declared),
            project=project or f"{name}-{current}",
            **(stack or {}),
        )
        self.services = self.stack.services
        self.register_outputs({"services": self.services})


def merged(base: Any, over: Any) -> Any:
    """A declaration with another one over it."""
    if not (isinstance(base, Mapping) and isinstance(over, Mapping)):
        return over
    both = {name: merged(base[name], item) if name in base else item for name, item in over.items()}
    return {**base, **both}


def compared(definition: Mapping[str, Any], environments: Mapping[str, Any], allow: Sequence[str]) -> list[Difference]:
    """Every place in which an environment is not as declared for all. What is not known yet counts as another value."""
    found = [(name, ".".join(place)) for name, over in environments.items() for place in _places(definition, over, ())]
    return [Difference(name, place, next((rule for rule in allow if covers(rule, place)), "")) for name, place in found]


def _places(base: Any, over: Any, place: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(over, Mapping) and (isinstance(base, Mapping) or (base is _ABSENT and over)):
        for name, item in over.items():
            below = base.get(name, _ABSENT) if isinstance(base, Mapping) else _ABSENT
            yield from _places(below, item, (*place, str(name)))
    elif isinstance(over, pulumi.Output) or over != base:
        yield place


def _refuse(name: str, differences: Sequence[Difference]) -> None:
    wrong = [one for one in differences if not one.rule]
    if wrong:
        told = "".join(f"\n  {one.environment}: {one.place}" for one in wrong)
        raise pulumi.RunError(
            f"environment {name}: not the same everywhere, and nothing allows it:{told}\n"
            "add each place to allow, with the reason, or declare it for all"
        )
