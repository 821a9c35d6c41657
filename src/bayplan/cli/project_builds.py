"""``bayplan build`` without ``-t``: the images that services of the project are built from."""

from __future__ import annotations

from argparse import Namespace

from bayplan import app
from bayplan.cli.common import opened, show, stack
from bayplan.cli.converging import carry_out
from bayplan.errors import DeclarationError, NotFoundError
from bayplan.models import Image, Stack

_OF_ONE = (
    *("dockerfile", "target", "build_arg", "label", "secret", "ssh", "platform"),
    *("allow", "network", "add_host", "shm_size", "ulimit"),
)
"""Options that a Compose file says for each service."""


def build(options: Namespace) -> int:
    """Those of the named services, or of all. Raises DeclarationError, NotFoundError."""
    for name in _OF_ONE:
        if getattr(options, name) not in ([], None, "default"):
            what = f"--{name.replace('_', '-')} is for one image".replace("--dockerfile", "-f")
            raise DeclarationError(what, hint="name it with -t and give its context, or write it into the Compose file")
    wanted = tuple(_as_asked(item, options) for item in _built(stack(options), options.context))
    if not wanted:
        show(options, [], "No service of the project is built.")
        return 0
    with opened(options) as (runtime, settings):
        return carry_out(options, lambda: app.plan_single(Stack(name="", images=wanted), runtime), runtime, settings)


def _built(declared: Stack, services: list[str]) -> list[Image]:
    missing = [name for name in services if not declared.containers_of(name)]
    if missing:
        there = ", ".join(sorted({item.service for item in declared.containers}))
        hint = f"there are: {there}; an image of a directory has a name: -t NAME"
        raise NotFoundError(f"there is no service {', '.join(missing)}", hint=hint)
    meant = {item.image for item in declared.containers if not services or item.service in services}
    return [item for item in declared.images if item.build and item.name in meant]


def _as_asked(image: Image, options: Namespace) -> Image:
    assert image.build is not None
    update = {name: True for name in ("no_cache", "pull") if getattr(options, name)}
    return image.model_copy(update={"build": image.build.model_copy(update=update)})
