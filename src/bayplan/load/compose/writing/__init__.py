"""The way back: a ``Stack`` to a Compose file that declares it. What a reader makes of the file is the same stack.

Only what is no default is written. Values of variables whose names say that they may be secret are not: the file names
a variable of the environment instead, and says nothing without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import Field

from bayplan.load.compose.writing.resources import Keys, network, volume
from bayplan.load.compose.writing.service import Variables, service
from bayplan.models import Model, Stack

__all__ = ["Written", "write"]


class Written(Model):
    """A Compose file. ``variables``: name to value of what the file only names; never to be shown."""

    text: str
    variables: dict[str, str] = Field(default_factory=dict, exclude=True, repr=False)
    secrets: tuple[str, ...] = Field((), description="Variables that the file names, with the service they are of.")
    left_out: tuple[str, ...] = Field((), description="What Compose has no word for, as sentences.")


def write(stack: Stack) -> Written:
    """The file of a stack whose containers are all of a service."""
    keys, variables, left_out = Keys(stack), Variables(), list[str]()
    services: dict[str, Any] = {}
    for name in dict.fromkeys(item.service for item in stack.containers):
        services[name] = service(stack, name, keys, variables, left_out)
    grants = [grant for item in stack.containers for grant in (*item.secrets, *item.configs)]
    document = {
        "name": stack.name,
        "services": services,
        "networks": {keys.networks[item.name]: network(item, keys) for item in stack.networks},
        "volumes": {keys.volumes[item.name]: volume(item, keys) for item in stack.volumes},
        **{kind: _files(stack, kind) for kind in ("secrets", "configs") if grants},
    }
    kept = {key: value for key, value in document.items() if value}
    text = yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=120)
    for mark, reference in variables.references.items():
        text = text.replace(mark, reference)
    return Written(text=text, variables=variables.values, secrets=tuple(variables.told), left_out=tuple(left_out))


def _files(stack: Stack, kind: str) -> Mapping[str, Any]:
    found = {}
    for container in stack.containers:
        for grant in getattr(container, kind):
            if grant.file:
                found[grant.source] = {"file": grant.file.replace("$", "$$")}
    return found
