"""What the provider asks of each kind of resource."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bayplan.models import Duration
from bayplan.pulumi import checking, names, secrecy
from bayplan.pulumi.failures import Wrong
from bayplan.pulumi.naming import DEFAULTS
from bayplan.pulumi.session import Session
from bayplan.pulumi.shapes import Shape
from bayplan.pulumi.values import UNKNOWN
from bayplan.pulumi.verdict import Verdict

Values = Mapping[str, Any]
"""Properties: values of Python, ``Secret`` and ``UNKNOWN`` among them."""


@dataclass(frozen=True)
class Task:
    """One question of Pulumi about one resource.

    ``inputs`` were checked; ``old_inputs`` and ``old`` (inputs and outputs) are what its state holds, if it has one.
    """

    session: Session
    inputs: Values
    old_inputs: Values
    old: Values
    id: str = ""
    is_preview: bool = False
    timeout_s: float | None = None


@dataclass(frozen=True)
class Found:
    """What is there of a resource, as outputs, and as inputs that would make it so."""

    outputs: Values
    inputs: Values


class Resource(Protocol):
    """One kind of resource. Methods raise errors of ``bayplan.errors``."""

    shape: Shape

    def wrong(self, values: Values) -> list[Wrong]:
        """What of its fields cannot be beside what their models say."""

    def diff(self, task: Task) -> Verdict:
        """What differs between what is there and ``task.inputs``. Changes nothing."""

    def create(self, task: Task) -> tuple[str, Values]:
        """Make it; its id and outputs. In a preview it may be refused, but what it needs may not be there yet."""

    def update(self, task: Task) -> Values:
        """Bring it to ``task.inputs``; its outputs. In a preview what will change is UNKNOWN."""

    def read(self, task: Task) -> Found | None:
        """What is there; None when nothing is."""

    def delete(self, task: Task) -> None:
        """Remove it; that it is gone already is no error."""


def outputs(shape: Shape, inputs: Values, told: Values) -> dict[str, Any]:
    """Properties of a resource: its inputs, and what the host tells (by fields of ``shape.of.known``)."""
    own = {name: value for name, value in inputs.items() if name != DEFAULTS}
    return {**secrecy.wrapped(shape.fields, own), **names.properties(shape.of.known, dict(told))}


def foreseen(shape: Shape, inputs: Values, known: Values) -> dict[str, Any]:
    """The same before it is made: what nobody knows yet is UNKNOWN."""
    own = {name: value for name, value in inputs.items() if name != DEFAULTS}
    told = {name: known.get(name, UNKNOWN) for name in shape.outputs}
    return {**secrecy.wrapped(shape.fields, own), **told}


def fields(shape: Shape, inputs: Values) -> dict[str, Any]:
    """Inputs by the fields of the models, without what is kept beside them."""
    return checking.fields(shape, {name: value for name, value in inputs.items() if name != DEFAULTS})


def longest_wait_s(shape: Shape, values: Values) -> float:
    """``wait_timeout`` of fields in seconds; that of the package when nobody gives one."""
    usual = shape.of.given.model_fields["wait_timeout"].default
    return Duration.parse(values.get("wait_timeout", usual)).total_seconds()
