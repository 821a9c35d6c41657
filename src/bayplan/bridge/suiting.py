"""Whether a host could have resources that are not there yet, as far as that can be told before they are made.

``suits`` takes ``resources`` as ``singles`` does, and answers with ``error``: the first reason against them, or null.
Neither an image nor another resource has to be there, and no registry is asked.
"""

from __future__ import annotations

from typing import Any

from bayplan.bridge.answers import failure
from bayplan.bridge.declared import read
from bayplan.bridge.rooms import Asked
from bayplan.errors import BayplanError
from bayplan.models import Image


def suits(asked: Asked) -> dict[str, Any]:
    """What the engine's own check of a plan says of them. Changes nothing."""
    with asked.opened() as (runtime, settings):
        stack = read(list(asked.options.get("resources") or ()), settings)
        made = [one for one in stack.resources() if not isinstance(one, Image)]
        try:
            runtime.check(made, stack.name)
        except BayplanError as error:
            return {"changed": False, "error": failure(error)}
    return {"changed": False, "error": None}
