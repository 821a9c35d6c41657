"""What a start shows the container before anything in it runs: its layers, parts of mounts, others' namespaces."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bayplan.errors import BayplanError
from bayplan.models import Container, Settings
from bayplan.runtime.native.containers import apparmor, joining, lifecycle, mountpoints, resolver
from bayplan.runtime.native.containers.oci import OciRuntime, streams
from bayplan.runtime.native.containers.paths import Paths
from bayplan.runtime.native.containers.spec import image_mounts, users
from bayplan.runtime.native.containers.spec import mounts as spec_mounts
from bayplan.system import idmap
from bayplan.system.processes import Process
from bayplan.values import frozen

Running = Callable[[str], tuple[Process | None, Path]]
"""Name of a container to its first process and its bundle."""


@frozen
class Caller:
    """Who is joined to the container's streams from its first byte: nobody, unless ``join`` does it."""

    join: Callable[[], None] = lambda: None
    """Called when the monitor is there and nothing in the container runs yet."""
    window: tuple[int, int] | None = None
    """Rows and columns of its terminal: set after the start, they come too late for a program that asks at once."""

    def sized(self, config: str) -> str:
        """The configuration with the size of its terminal (config.md, "process")."""
        if self.window is None:
            return config
        spec: dict[str, Any] = json.loads(config)
        spec["process"]["consoleSize"] = {"height": self.window[0], "width": self.window[1]}
        return json.dumps(spec)


NOBODY = Caller()


def run(
    runtime: OciRuntime,
    settings: Settings,
    container_id: str,
    paths: Paths,
    declared: Container,
    *,
    config: str,
    facts: Mapping[str, Any],
    netns: Path | None,
    told: resolver.Told,
    running: Running,
    meanwhile: Callable[[], None],
    caller: Caller,
) -> Process:
    """Write the bundle of a container that is cleared away, and run it; see ``lifecycle.start``.

    ``config`` and ``facts`` are what was recorded when it was made. Raises RuntimeFailureError.
    """
    layers = [*(Path(item) for item in facts["lowerdirs"]), mountpoints.layer(settings.state_root)]
    userns: list[int] = []

    def furnish(bundle: Path) -> None:
        shared.furnish(bundle)
        spec_mounts.show_parts(facts.get("parts", ()), bundle)
        image_mounts.show(facts.get("images", ()), bundle)
        if userns:
            users.show_mounts(facts["mapped"], bundle, userns[0])

    def show_layers(found: Sequence[Path]) -> Sequence[Path]:
        return users.show_layers(found, paths, facts["users"], userns[0]) if userns else found

    with _named(declared), ExitStack() as held:
        shared = held.enter_context(joining.joined(declared, running))
        if facts.get("users") is not None:
            userns.append(held.enter_context(idmap.user_map(facts["users"])))
            users.open_way(paths, facts["users"])
        apparmor.ensure(config)
        resolver.write(paths.run, shared.put_in(caller.sized(config)), netns, told)
        return lifecycle.start(
            runtime,
            container_id,
            paths,
            layers,
            meanwhile,
            streams=streams(declared),
            furnish=furnish,
            show_layers=show_layers,
            created=caller.join,
        )


@contextmanager
def _named(declared: Container) -> Iterator[None]:
    """What fails is of this container, by its name."""
    try:
        yield
    except BayplanError as error:
        error.where = error.where or str(declared.id)
        raise
