"""Secrets and configs: files of the host that containers are given."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from bayplan.pulumi import verdict
from bayplan.pulumi.failures import Wrong
from bayplan.pulumi.resources.base import Found, Task, Values, fields, foreseen, outputs
from bayplan.pulumi.shapes import Shape
from bayplan.pulumi.values import UNKNOWN, Secret, plain
from bayplan.pulumi.verdict import Verdict, Way

_NO_BASE64 = Wrong("contentBase64", "is no base64")


class KeptResource:
    """A secret or a config. What it holds is in no answer but that of ``held``."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    def wrong(self, values: Values) -> list[Wrong]:
        """It holds one thing."""
        given = [name for name in ("content", "content_base64") if values.get(name) is not None]
        if len(given) == 1:
            return [] if given == ["content"] or _is_base64(values["content_base64"]) else [_NO_BASE64]
        return [Wrong("contentBase64" if given else "content", "give one of content and contentBase64")]

    def diff(self, task: Task) -> Verdict:
        """Another name is another one; another content is written over what there is."""
        olds, news = fields(self.shape, task.old_inputs), fields(self.shape, task.inputs)
        found = verdict.of_inputs(self.shape, olds, news)
        if not found.changed and self._ask(task, news, check=True)["changed"]:
            found.add(self._form(news), Way.UPDATE, replaces=False, of_input=False)
        return found

    def create(self, task: Task) -> tuple[str, Values]:
        """Write it."""
        values = fields(self.shape, task.inputs)
        if task.is_preview:
            return str(plain(task.inputs.get("name")) or ""), foreseen(self.shape, task.inputs, {})
        return str(values["name"]), self._written(task, values)

    def update(self, task: Task) -> Values:
        """Write it anew."""
        if task.is_preview:
            known = {name: task.old[name] for name in self.shape.outputs if name in task.old}
            return foreseen(self.shape, task.inputs, known)
        return self._written(task, fields(self.shape, task.inputs))

    def read(self, task: Task) -> Found | None:
        """What it holds on the host."""
        held = task.session.ask("held", {"kind": self.shape.kind, "name": task.id})
        if held["content_base64"] is None:
            return None
        inputs = {**task.old_inputs} if task.old_inputs else {"name": task.id}
        there = base64.b64decode(held["content_base64"])
        if _content(fields(self.shape, inputs)) != there:
            inputs = {name: value for name, value in inputs.items() if name not in ("content", "contentBase64")}
            inputs |= _as_input(there)
        if self.shape.kind == "secret":
            inputs = {k: Secret(plain(v)) if k.startswith("content") else v for k, v in inputs.items()}
        return Found(outputs(self.shape, inputs, {"path": held["path"]}), inputs)

    def delete(self, task: Task) -> None:
        """Forget it."""
        task.session.ask(self.shape.kind, {"name": task.id, "state": "absent"})

    def _written(self, task: Task, values: Mapping[str, Any]) -> Values:
        answer = self._ask(task, values)
        return outputs(self.shape, task.inputs, {"path": answer.get("path")})

    def _ask(self, task: Task, values: Mapping[str, Any], *, check: bool = False) -> dict[str, Any]:
        options = {"name": values["name"], "labels": values.get("labels") or None}
        form = "content" if values.get("content") is not None else "content_base64"
        options |= {"data": values.get(form), "data_is_b64": form == "content_base64"}
        return task.session.ask(self.shape.kind, options, check=check)

    @staticmethod
    def _form(values: Mapping[str, Any]) -> str:
        return "content" if values.get("content") is not None else "contentBase64"


def _content(values: Mapping[str, Any]) -> bytes | None:
    if values.get("content") is not None:
        return str(values["content"]).encode()
    try:
        return base64.b64decode(values.get("content_base64") or "") if "content_base64" in values else None
    except binascii.Error:
        return None


def _is_base64(value: Any) -> bool:
    try:
        return value is UNKNOWN or bool(base64.b64decode(str(value), validate=True)) or value == ""
    except binascii.Error:
        return False


def _as_input(content: bytes) -> dict[str, str]:
    try:
        return {"content": content.decode()}
    except UnicodeDecodeError:
        return {"contentBase64": base64.b64encode(content).decode()}
