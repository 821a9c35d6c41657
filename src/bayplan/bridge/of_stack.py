"""What a request says of a stack beside its files: policies over theirs, and what is forced on its containers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayplan.errors import DeclarationError, UnsupportedError
from bayplan.models import Change, Image, PullPolicy, ResourceId, Stack
from bayplan.runtime.protocol import LIVE, Runtime, Scope

PULLS = ("policy", *(policy.value for policy in (PullPolicy.MISSING, PullPolicy.ALWAYS, PullPolicy.NEVER)))
BUILDS = ("policy", "always")
RECREATES = ("auto", "always")


def with_policies(stack: Stack, options: Mapping[str, Any]) -> Stack:
    """With ``pull`` for images of registries, and ``build`` for those that are built. Raises DeclarationError."""
    pull, build = _one_of("pull", PULLS, options), _one_of("build", BUILDS, options)

    def of(image: Image) -> Image:
        if image.build is not None:
            return image.model_copy(update={"pull": PullPolicy.BUILD}) if build == "always" else image
        return image if pull == "policy" else image.model_copy(update={"pull": PullPolicy(pull)})

    if (pull, build) == ("policy", "policy"):
        return stack
    return stack.model_copy(update={"images": tuple(map(of, stack.images))})


def forced(stack: Stack, options: Mapping[str, Any], runtime: Runtime) -> dict[ResourceId, Change]:
    """Containers that are made anew, or of those that run restarted, though nothing of them differs.

    Those of ``services``, when some are named. Raises DeclarationError, and UnsupportedError for a swarm.
    """
    recreate = _one_of("recreate", RECREATES, options) == "always"
    if not recreate and options.get("state") != "restarted":
        return {}
    ids = _asked_for(stack, options, runtime, "recreate" if recreate else "state: restarted")
    if recreate:
        return dict.fromkeys(ids, Change.RECREATE)
    there = runtime.observe(Scope(names=tuple(ids)))
    live = [item for item in ids if (found := there.get(item)) is not None and found.status.state in LIVE]
    return dict.fromkeys(live, Change.RESTART)


def stopped(stack: Stack, options: Mapping[str, Any], runtime: Runtime) -> list[ResourceId]:
    """Containers that are to be there and not to run: those of ``services``, when some are named.

    Raises UnsupportedError for a swarm.
    """
    return _asked_for(stack, options, runtime, "state: stopped") if options.get("state") == "stopped" else []


def _asked_for(stack: Stack, options: Mapping[str, Any], runtime: Runtime, what: str) -> list[ResourceId]:
    if runtime.facts().engine == "swarm":
        raise UnsupportedError(
            f"{what}: a swarm starts the tasks of its services itself",
            where=f"stack {stack.name}",
            hint="change what the file says of a service, a label for instance",
        )
    named = options.get("services")
    return [item.id for item in stack.containers if not named or item.service in named]


def _one_of(option: str, values: tuple[str, ...], options: Mapping[str, Any]) -> str:
    value = str(options.get(option) or values[0])
    if value not in values:
        raise DeclarationError(f"{option} is {value}, not one of {', '.join(values)}", where="request")
    return value
