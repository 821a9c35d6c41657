"""A Compose project as one resource: planned, applied and taken back as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayplan.pulumi import verdict
from bayplan.pulumi.failures import LostError, PartlyMadeError, RefusedError, Wrong
from bayplan.pulumi.failures import told as sentence
from bayplan.pulumi.projects import Project
from bayplan.pulumi.resources import foretold, told
from bayplan.pulumi.resources.base import Found, Task, Values, fields, foreseen, longest_wait_s, outputs
from bayplan.pulumi.shapes import Shape
from bayplan.pulumi.values import plain
from bayplan.pulumi.verdict import Verdict, Way


class StackResource:
    """A project."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    def wrong(self, values: Mapping[str, Any]) -> list[Wrong]:
        """A project is declared in one way."""
        if values.get("definition") is not None and values.get("files"):
            return [Wrong("files", "definition and files exclude each other")]
        return []

    def diff(self, task: Task) -> Verdict:
        """The engine's plan for the project; another project is another resource."""
        olds, news = fields(self.shape, task.old_inputs), fields(self.shape, task.inputs)
        found = verdict.of_inputs(self.shape, olds, news)
        wanted = verdict.unknown_filled(news, olds)
        plan = Project(task.session, wanted).plan()["plan"]
        if (plan["changed"] or plan["noted"]) and not found.changed:
            found.add("services", Way.UPDATE, replaces=False, of_input=False)
        return found

    def create(self, task: Task) -> tuple[str, Values]:
        """Apply it."""
        name = str(plain(task.inputs.get("project")) or "")
        if task.is_preview:
            values = fields(self.shape, task.inputs)
            stack = Project(task.session, values).alone
            if stack is not None and not verdict.unknown_fields(values):
                foretold.tell(task.session, {"stack": stack})
            return name, foreseen(self.shape, task.inputs, {})
        return name, self._applied(task)

    def update(self, task: Task) -> Values:
        """Apply it."""
        if task.is_preview:
            return foreseen(self.shape, task.inputs, {})
        return self._applied(task)

    def read(self, task: Task) -> Found | None:
        """What runs of it. What differs from the declaration is in the next plan."""
        found = self._told(task, task.id)
        if found is None:
            return None
        inputs = task.old_inputs or {"project": task.id}
        return Found(outputs(self.shape, inputs, found), inputs)

    def delete(self, task: Task) -> None:
        """Destroy it; volumes and images only when it says so."""
        values = fields(self.shape, task.old_inputs)
        Project(task.session, {**values, "project": task.id}).destroy(
            volumes=bool(values.get("remove_volumes")),
            images=bool(values.get("remove_images")),
            timeout_s=task.timeout_s,
        )

    def _applied(self, task: Task) -> Values:
        values = fields(self.shape, task.inputs)
        limit = longest_wait_s(self.shape, values)
        options: dict[str, Any] = {"wait": values.get("wait", True), "wait_timeout": limit}
        if values.get("on_failure"):
            options["on_failure"] = values["on_failure"]
        name = str(values["project"])
        try:
            Project(task.session, values).apply(options, timeout_s=task.timeout_s)
        except LostError as lost:
            raise PartlyMadeError(sentence(lost), name, outputs(self.shape, task.inputs, {}), task.inputs) from lost
        except RefusedError as error:
            found = self._told(task, name)
            if found is None:
                raise
            there = outputs(self.shape, task.inputs, found)
            raise PartlyMadeError(sentence(error), name, there, task.inputs) from error
        return outputs(self.shape, task.inputs, self._told(task, name) or {})

    def _told(self, task: Task, name: str) -> dict[str, Any] | None:
        """What the host says of a project; None when it has none of it."""
        found = task.session.ask("stack_info", {"project_name": name})
        if not found["exists"]:
            return None
        kept = task.session.ask("generation", {"project_name": name})["generations"]
        services: dict[str, Any] = {}
        images: dict[str, str] = {}
        for row in found["containers"]:
            one = told.live({**row, "status": row})
            services.setdefault(row["service"], {"containers": []})["containers"].append({"name": row["name"], **one})
            images[row["image"]] = row["image_digest"]
        number = kept[0]["number"] if kept else None
        return {"generation": number, "services": services, "images": images}
