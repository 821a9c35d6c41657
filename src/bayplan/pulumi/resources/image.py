"""Images, pulled or built. A rebuild or a newer pull is an update: the name stays, its digest is another one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayplan.errors import InUseError
from bayplan.models.git_url import parse
from bayplan.pulumi import files, verdict
from bayplan.pulumi.failures import RefusedError
from bayplan.pulumi.resources import told
from bayplan.pulumi.resources.base import Task, fields
from bayplan.pulumi.resources.single import Single
from bayplan.pulumi.shapes import Shape
from bayplan.pulumi.values import plain
from bayplan.pulumi.verdict import Verdict, Way

_TO_BE_BUILT = "fingerprint:"


class ImageResource(Single):
    """An image."""

    controls = frozenset(("keep_locally",))

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape, told.image)

    def item(self, task: Task, values: Mapping[str, Any]) -> dict[str, Any]:
        """With its context where the program has it."""
        item = super().item(task, values)
        return _with_context(item, files.placed(_context(item), task.session.directory)) if _context(item) else item

    def plan(self, task: Task, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """With the files of its context, which a host by SSH has not got."""
        item = self.item(task, values)
        tree = _tree(task, item)
        if tree is None:
            return super().plan(task, values)
        options = {"sent": tree.request(_key(item)), "resource": item}
        answer = task.session.with_files(tree, lambda: task.session.connection.ask("context", options, check=True))
        found: Mapping[str, Any] = answer["plan"]
        return found

    def diff(self, task: Task) -> Verdict:
        """Whether it is pulled or built. Another name is another image, which stands beside the old one."""
        olds, news = fields(self.shape, task.old_inputs), fields(self.shape, task.inputs)
        found = verdict.of_inputs(self.shape, olds, news)
        if self.plan(task, verdict.unknown_filled(news, olds))["steps"] and not found.changed:
            found.add("digest", Way.UPDATE, replaces=False, of_input=False)
        return found

    def carry_out(self, task: Task, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """With its files on the host, and what the build was made of, which is known before it alone."""
        item = self.item(task, values)
        tree = _tree(task, item)
        if tree is not None:
            options = {"sent": tree.request(_key(item))}
            placed = task.session.with_files(tree, lambda: task.session.connection.ask("context", options))
            item = _with_context(item, placed["directory"])
        before = task.old.get("fingerprint")
        if "build" in values:
            (image,) = task.session.plan([item])["images"].values()
            digest = str(image["digest"])
            before = digest.removeprefix(_TO_BE_BUILT) if digest.startswith(_TO_BE_BUILT) else before
        answer = task.session.carry_out(item, task.timeout_s)
        row = answer["observed"]
        return {**answer, "observed": row and {**row, "fingerprint": before}}

    def delete(self, task: Task) -> None:
        """One that is to be kept, or in use, stays."""
        if plain(task.old_inputs.get("keepLocally")) is True:
            return
        try:
            super().delete(task)
        except RefusedError as error:
            if error.type != InUseError.__name__:
                raise
        item = self.item(task, fields(self.shape, task.old_inputs))
        if task.session.is_remote and _context(item):
            task.session.ask("context", {"sent": {"key": files.place(_key(item)), "files": []}, "state": "absent"})


def _context(item: Mapping[str, Any]) -> str:
    build = item["fields"].get("build")
    return str(build.get("context") or "") if isinstance(build, Mapping) else ""


def _with_context(item: Mapping[str, Any], context: str) -> dict[str, Any]:
    fields_ = item["fields"]
    return {**item, "fields": {**fields_, "build": {**fields_["build"], "context": context}}}


def _tree(task: Task, item: Mapping[str, Any]) -> files.Tree | None:
    """The files that have to be sent for it; None where they are already, or there are none."""
    if not task.session.is_remote or not _context(item) or parse(_context(item)) is not None:
        return None
    return files.context(Path(_context(item)), str(item["fields"]["build"].get("dockerfile") or "Dockerfile"))


def _key(item: Mapping[str, Any]) -> str:
    name = str(item["name"])
    return f"image-{name}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
