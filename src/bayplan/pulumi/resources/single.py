"""Containers, networks, volumes and images: one resource of the engine each, planned and applied as such."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bayplan.errors import BayplanError
from bayplan.pulumi import claims, imports, names, naming, secrecy, verdict
from bayplan.pulumi.failures import LostError, PartlyMadeError, RefusedError, Wrong, told
from bayplan.pulumi.resources import foretold
from bayplan.pulumi.resources.base import Found, Task, Values, fields, foreseen, outputs
from bayplan.pulumi.shapes import Shape
from bayplan.pulumi.values import Secret
from bayplan.pulumi.verdict import Verdict

REMADE = frozenset(("create", "re-create", "pull", "build", "tag"))
"""Actions of a plan after which a resource is another one."""
_FOLLOWS: Mapping[str, frozenset[str]] = {
    "addresses": frozenset(("networks",)),
    "addressesV6": frozenset(("networks",)),
    "boundPorts": frozenset(("ports", "publish_all_ports")),
    "subnets": frozenset(("subnet", "ipv6_subnet", "enable_ipv6")),
    "gateways": frozenset(("gateway", "ipv6_gateway", "subnet", "ipv6_subnet", "enable_ipv6")),
}
"""Outputs to the fields that a change in place of which may change them; others follow a new resource alone."""
_MOVING = frozenset(("state", "health", "exitCode", "defects", "notes"))
"""Outputs that any step may change."""


class Single:
    """A resource that the engine has a model of. ``seen`` gives what the host says of it."""

    controls: frozenset[str] = frozenset()
    """Inputs that are no fields of the model."""

    def __init__(self, shape: Shape, seen: Callable[[Mapping[str, Any]], dict[str, Any]]) -> None:
        self.shape, self.seen = shape, seen

    @functools.cached_property
    def usual(self) -> dict[str, Any]:
        """Controls as they are when nobody gives them: SDKs send defaults of the schema, and an import has none."""
        of = self.shape.of.given
        values = of.model_construct().model_dump(mode="json")
        return {name: value for name, value in values.items() if name in self.controls and value is not None}

    def item(self, task: Task, values: Mapping[str, Any]) -> dict[str, Any]:
        """The request for it, of its fields."""
        own = {name: value for name, value in values.items() if name not in self.controls and name != "name"}
        return {"kind": self.shape.kind, "name": values.get("name"), "fields": own}

    def wrong(self, values: Values) -> list[Wrong]:
        """The model says all of it."""
        del values
        return []

    def plan(self, task: Task, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The engine's plan for it."""
        return task.session.plan([self.item(task, values)])

    def carry_out(self, task: Task, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Apply it; what came of it."""
        return task.session.carry_out(self.item(task, values), task.timeout_s)

    def diff(self, task: Task) -> Verdict:
        """The engine's plan as Pulumi has it."""
        olds, news = fields(self.shape, task.old_inputs), fields(self.shape, task.inputs)
        wanted = verdict.unknown_filled(news, olds)
        plan = self.plan(task, wanted)
        if wanted.get("name") != olds.get("name"):
            found = verdict.of_inputs(self.shape, olds, news)
        else:
            found = verdict.of_fields(self.shape, self.changes(plan, olds, wanted), olds, wanted)
            self._beside(found, olds, news)
        found.changed = found.changed or bool(plan["steps"] or plan["noted"])
        is_fixed = not naming.is_automatic(task.inputs)
        found.delete_first = bool(found.replaces) and claims.conflict(olds, wanted, named=is_fixed)
        task.session.clears = task.session.clears or found.delete_first
        return found

    def changes(self, plan: Mapping[str, Any], olds: Values, news: Values) -> list[Mapping[str, Any]]:
        """The fields of its own step that differ."""
        own = [one for one in (*plan["steps"], *plan["noted"]) if self._is_own(one, news)]
        found = [change for one in own for change in one["fields"]]
        named = {change["path"] for change in found}
        return [change for change in found if change["path"] != "image.digest" or "image" not in named]

    def create(self, task: Task) -> tuple[str, Values]:
        """In one batch with whatever else is asked for now."""
        values = fields(self.shape, task.inputs)
        if task.is_preview:
            # An image is brought or built whatever else is there.
            if self.shape.kind != "image" and not verdict.unknown_fields(values):
                foretold.tell(task.session, {"resources": [self.item(task, values)]})
            return str(values.get("name") or ""), foreseen(self.shape, task.inputs, {})
        return str(values["name"]), self._done(task, values)

    def update(self, task: Task) -> Values:
        """As the plan says: in place, or made anew under its name."""
        values = fields(self.shape, task.inputs)
        if task.is_preview:
            olds = fields(self.shape, task.old_inputs)
            plan = self.plan(task, verdict.unknown_filled(values, olds))
            return foreseen(self.shape, task.inputs, self._kept(task, plan, values))
        return self._done(task, values)

    def read(self, task: Task) -> Found | None:
        """From the kernel; inputs differ from those of the state where the host drifted from them."""
        row = task.session.observed(self.shape.kind, task.id)
        if row is None:
            return None
        inputs = self._drifted(task, row) if task.old_inputs else self.imported(row)
        kept = {name: task.old[name] for name in self._unseen() if name in task.old}
        return Found(outputs(self.shape, {**kept, **inputs}, self.seen(row)), inputs)

    def delete(self, task: Task) -> None:
        """Absent is no error."""
        answer = task.session.carry_out({"kind": self.shape.kind, "name": task.id, "state": "absent"}, task.timeout_s)
        if answer["error"]:
            raise RefusedError.of(answer["error"])

    def imported(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Inputs that would make what is there."""
        return secrecy.wrapped(self.shape.fields, imports.inputs(self.shape, row["fields"]))

    def finish(self, task: Task, values: Mapping[str, Any]) -> bool:
        """Wait for what it is to reach once it is made; whether there was anything to wait for."""
        del task, values
        return False

    def _done(self, task: Task, values: Mapping[str, Any]) -> Values:
        name = str(values["name"])
        try:
            answer = self.carry_out(task, values)
        except LostError as lost:
            raise PartlyMadeError(told(lost), name, outputs(self.shape, task.inputs, {}), task.inputs) from lost
        row, error = answer["observed"], answer["error"]
        if error:
            if row is None or not row["managed"] or row["project"]:
                raise RefusedError.of(error)
            raise self._partly(task, name, row, told(RefusedError.of(error)))
        try:
            waited = self.finish(task, values)
        except BayplanError as failed:
            with contextlib.suppress(BayplanError):
                row = task.session.observed(self.shape.kind, name) or row
            raise self._partly(task, name, row, told(failed)) from failed
        if waited:
            row = task.session.observed(self.shape.kind, name) or row
        return outputs(self.shape, task.inputs, self.seen(row))

    def _partly(self, task: Task, name: str, row: Mapping[str, Any], reason: str) -> PartlyMadeError:
        return PartlyMadeError(reason, name, outputs(self.shape, task.inputs, self.seen(row)), task.inputs)

    def _is_own(self, step: Mapping[str, Any], values: Values) -> bool:
        resource = step["resource"]
        return bool(resource["kind"] == self.shape.kind and resource["name"] == values.get("name"))

    def _beside(self, found: Verdict, olds: Mapping[str, Any], news: Mapping[str, Any]) -> None:
        """What no plan compares: inputs of the package, and values that are not known yet."""
        unknown = verdict.unknown_fields(news)
        names_beside = {*self.controls, *unknown}
        before, after = ({**self.usual, **values} for values in (olds, news))
        before, after = ({k: v for k, v in values.items() if k in names_beside} for values in (before, after))
        more = verdict.of_inputs(self.shape, before, after)
        for path, one in more.differences.items():
            found.add(path, one.way, replaces=one.replaces)

    def _kept(self, task: Task, plan: Mapping[str, Any], values: Values) -> dict[str, Any]:
        """Outputs that stay as they are, as far as the plan tells."""
        own = [step for step in plan["steps"] if self._is_own(step, values)]
        if any(step["action"] in REMADE for step in own):
            return {}
        touched = {change["path"].partition("[")[0] for step in own for change in step["fields"]}
        touched |= set(verdict.unknown_fields(values))
        gone = {name for name, causes in _FOLLOWS.items() if causes & touched} | (_MOVING if own else frozenset())
        return {name: task.old[name] for name in self.shape.outputs if name in task.old and name not in gone}

    def _drifted(self, task: Task, row: Mapping[str, Any]) -> dict[str, Any]:
        """Inputs of the state, with what is there now in place of what differs."""
        inputs = dict(task.old_inputs)
        values = fields(self.shape, inputs)
        try:
            plan = self.plan(task, values)
        except RefusedError:  # what cannot be planned can be looked at
            return inputs
        own = {change["path"].partition("[")[0] for change in self.changes(plan, values, values)}
        there = imports.inputs(self.shape, row["fields"])
        assert self.shape.model is not None
        for field in own & set(self.shape.model.model_fields):
            name = names.camel(field)
            value = there.get(name)
            secret = isinstance(inputs.get(name), Secret)
            inputs.pop(name, None)
            if value is not None:
                inputs[name] = Secret(value) if secret else value
        return secrecy.wrapped(self.shape.fields, inputs)

    def _unseen(self) -> Sequence[str]:
        """Inputs that nobody can see on the host."""
        return [names.camel(name) for name in self.controls]
