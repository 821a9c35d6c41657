"""Images, pulled or built. A rebuild or a newer pull is an update: the name stays, its digest is another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayplan.pulumi import verdict
from bayplan.pulumi.failures import RefusedError
from bayplan.pulumi.files import placed
from bayplan.pulumi.resources import told
from bayplan.pulumi.resources.base import Task, Values, fields
from bayplan.pulumi.resources.single import Single
from bayplan.pulumi.shapes import Shape
from bayplan.pulumi.values import plain
from bayplan.pulumi.verdict import Verdict, Way

_TO_BE_BUILT = "fingerprint:"
_IN_USE = "is used by containers"


class ImageResource(Single):
    """An image."""

    controls = frozenset(("keep_locally",))

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape, told.image)

    def item(self, task: Task, values: Mapping[str, Any]) -> dict[str, Any]:
        """With its context where the engine finds it."""
        item = super().item(task, values)
        build = item["fields"].get("build")
        if isinstance(build, Mapping) and isinstance(build.get("context"), str):
            context = placed(build["context"], task.session.directory)
            item["fields"] = {**item["fields"], "build": {**build, "context": context}}
        return item

    def diff(self, task: Task) -> Verdict:
        """Whether it is pulled or built. Another name is another image, which stands beside the old one."""
        olds, news = fields(self.shape, task.old_inputs), fields(self.shape, task.inputs)
        found = verdict.of_inputs(self.shape, olds, news)
        wanted = verdict.unknown_filled(news, olds)
        plan = task.session.plan([self.item(task, wanted)])
        if plan["steps"] and not found.changed:
            found.add("digest", Way.UPDATE, replaces=False, of_input=False)
        return found

    def delete(self, task: Task) -> None:
        """One that is to be kept, or in use, stays."""
        if plain(task.old_inputs.get("keepLocally")) is True:
            return
        try:
            super().delete(task)
        except RefusedError as error:
            if _IN_USE not in str(error):
                raise

    def _done(self, task: Task, values: Mapping[str, Any]) -> Values:
        """With what its build was made of, which is known before it alone."""
        if "build" not in values:
            return super()._done(task, values)
        (foreseen,) = task.session.plan([self.item(task, values)])["images"].values()
        digest = str(foreseen["digest"])
        before = task.old.get("fingerprint")
        of_build = digest.removeprefix(_TO_BE_BUILT) if digest.startswith(_TO_BE_BUILT) else before
        return {**super()._done(task, values), "fingerprint": of_build}
