"""Containers, which beside their own fields take when they count as made, and how their image is had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bayplan.pulumi import verdict
from bayplan.pulumi.resources import told
from bayplan.pulumi.resources.base import Task, Values, fields, longest_wait_s
from bayplan.pulumi.resources.single import REMADE, Single
from bayplan.pulumi.shapes import Shape

_OF_IMAGE = ("pull", "platform")
_DEFAULT_NETWORK = [{"network": "bridge"}]
"""What containers are on that name no network (``bayplan.bridge.containers``)."""


class ContainerResource(Single):
    """A container."""

    controls = frozenset((*_OF_IMAGE, "running", "wait", "wait_timeout"))

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape, told.container)

    def item(self, task: Task, values: Mapping[str, Any]) -> dict[str, Any]:
        """With its image's options, and whether it runs."""
        image = {name: values[name] for name in _OF_IMAGE if values.get(name) is not None}
        return {
            **super().item(task, values),
            "image": image,
            "state": self._state(task, values),
        }

    def update(self, task: Task) -> Values:
        """One that has ended as it should is begun again only when it is made anew."""
        values = fields(self.shape, verdict.unknown_filled(task.inputs, task.old_inputs))
        if self._state(task, values) == "present":
            plan = task.session.plan([self.item(task, values)])
            if any(self._is_own(step, values) and step["action"] in REMADE for step in plan["steps"]):
                task = replace(task, old={})
        return super().update(task)

    def imported(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Without the network that it is on when none is named."""
        inputs = super().imported(row)
        if inputs.get("networks") == _DEFAULT_NETWORK:
            del inputs["networks"]
        return inputs

    def _state(self, task: Task, values: Mapping[str, Any]) -> str:
        """The bridge's word for it; ``present`` leaves alone whether it runs."""
        if values.get("running") is False:
            return "stopped"
        has_completed = task.old.get("state") == "exited" and task.old.get("exitCode") == 0
        return "present" if values.get("wait") == "completed" and has_completed else "started"

    def finish(self, task: Task, values: Mapping[str, Any]) -> bool:
        """Wait for its health, or for its end with success."""
        wait = values.get("wait", "running")
        if wait == "running" or self._state(task, values) == "present" or values.get("running") is False:
            return False
        options = {"name": values["name"], "condition": wait, "timeout_s": longest_wait_s(self.shape, values)}
        task.session.connection.ask("reached", options)
        return True
