"""Images pushed to a registry."""

from __future__ import annotations

from typing import Any

from bayplan.pulumi import verdict
from bayplan.pulumi.failures import Wrong
from bayplan.pulumi.resources.base import Found, Task, Values, fields, foreseen, outputs
from bayplan.pulumi.resources.told import reference
from bayplan.pulumi.shapes import Shape
from bayplan.pulumi.values import plain
from bayplan.pulumi.verdict import Verdict, Way


class PushedResource:
    """What a registry has under a name."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    def wrong(self, values: Values) -> list[Wrong]:
        """The model says all of it."""
        del values
        return []

    def diff(self, task: Task) -> Verdict:
        """Whether the registry has another image than the host."""
        olds, news = fields(self.shape, task.old_inputs), fields(self.shape, task.inputs)
        found = verdict.of_inputs(self.shape, olds, news)
        if not found.changed and self._ask(task, news, check=True)["changed"]:
            found.add("digest", Way.UPDATE, replaces=False, of_input=False)
        return found

    def create(self, task: Task) -> tuple[str, Values]:
        """Push it."""
        name = str(plain(task.inputs.get("name")) or "")
        if task.is_preview:
            return name, foreseen(self.shape, task.inputs, {})
        return name, self._pushed(task)

    def update(self, task: Task) -> Values:
        """Push it again."""
        if task.is_preview:
            return foreseen(self.shape, task.inputs, {})
        return self._pushed(task)

    def read(self, task: Task) -> Found | None:
        """What the registry has."""
        digest = self._ask(task, {"name": task.id}, only_look=True)["digest"]
        if not digest:
            return None
        inputs = task.old_inputs or {"name": task.id}
        told = {"digest": digest, "reference": reference(task.id, digest)}
        return Found(outputs(self.shape, inputs, told), inputs)

    def delete(self, task: Task) -> None:
        """It stays in the registry, unless it is to be deleted there too."""
        if plain(task.old_inputs.get("keepRemotely")) is not False:
            return
        options = {"name": task.id, "state": "absent", "digest": plain(task.old.get("digest"))}
        task.session.connection.ask("pushed", options, timeout_s=task.timeout_s)

    def _pushed(self, task: Task) -> Values:
        values = fields(self.shape, task.inputs)
        digest = str(self._ask(task, values)["digest"])
        told = {"digest": digest, "reference": reference(str(values["name"]), digest)}
        return outputs(self.shape, task.inputs, told)

    def _ask(self, task: Task, values: Values, *, check: bool = False, only_look: bool = False) -> dict[str, Any]:
        # What is pushed is an image of the host, whatever digest its reference is held to.
        source = str(values["source"]).partition("@")[0] if values.get("source") else None
        options = {"name": values["name"], "source": source, "only_look": only_look}
        return task.session.connection.ask("pushed", options, check=check, timeout_s=task.timeout_s)
