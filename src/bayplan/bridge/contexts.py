"""The verb ``context``: the directory that an image is built from, which the asker has and this host has not.

``sent`` is as ``bridge.sent`` has it; what this host lacks of it is answered by ``missing``, and brought by ``send``.
The answer is the ``directory`` that the files are in from then on. A check takes ``resource`` as well, an image as
``bridge.singles`` has it, and answers with the plan for it, as if the files were there. ``state: absent`` removes them.
"""

from __future__ import annotations

from typing import Any

from bayplan import engines
from bayplan.bridge.rooms import Asked
from bayplan.bridge.sent import Sent
from bayplan.bridge.singles import singles


def context(asked: Asked) -> dict[str, Any]:
    """The directory, or the plan with it."""
    there = Sent(asked.options.get("sent") or {}, engines.chosen(asked.settings))
    if asked.options.get("state") == "absent":
        there.forget()
        return {"changed": True}
    missing = there.missing()
    if missing:
        return {"changed": False, "missing": missing}
    directory = str(there.directory)
    if not asked.check:
        there.write()
        return {"changed": there.changed, "directory": directory}
    item = dict(asked.options.get("resource") or {})
    fields = dict(item.get("fields") or {})
    item["fields"] = {**fields, "build": {**fields.get("build", {}), "context": directory}}
    return there.foreseen(lambda: singles(Asked("singles", {"resources": [item]}, True, asked.settings, asked.opener)))
