"""Whether a host could have resources that are not there yet, as far as that can be told before they are made.

``suits`` takes ``resources`` as ``singles`` does, or a ``stack`` as a plan does, and answers with ``error``: the first
reason against them, or null. Neither an image nor another resource has to be there, and no registry is asked.
"""

from __future__ import annotations

from typing import Any

from bayplan.bridge.answers import failure
from bayplan.bridge.declared import read
from bayplan.bridge.request import read_stack
from bayplan.bridge.rooms import Asked
from bayplan.errors import BayplanError
from bayplan.models import Image


def suits(asked: Asked) -> dict[str, Any]:
    """What the engine's own check of a plan says of them. Changes nothing."""
    given = asked.options.get("stack")
    with asked.opened(str((given or {}).get("project_name") or "")) as (runtime, settings):
        try:
            resources = list(asked.options.get("resources") or ())
            stack = read_stack(given, settings) if given is not None else read(resources, settings)
            made = [one for one in stack.resources() if not isinstance(one, Image)]
            runtime.check(made, stack.name)
        except BayplanError as error:
            return {"changed": False, "error": failure(error)}
    return {"changed": False, "error": None}
