"""How a RUN step reaches the host: the interface the core's composition fills (after BuildKit's executor)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bayplan.models.limits import Ulimit
from bayplan.runtime.native.images.build.runmounts import Mount


@dataclass(frozen=True)
class Workspace:
    """The directory of one step. It exists before anything else of the step and goes last, so a sweep finds it."""

    id: str
    path: Path

    @property
    def upper(self) -> Path:
        """What the step adds and changes: the upper directory of its overlay."""
        return self.path / "upper"

    @property
    def work(self) -> Path:
        """The overlay's work directory."""
        return self.path / "work"

    @property
    def root(self) -> Path:
        """Where the overlay is mounted while files are copied, in a mount namespace of its own."""
        return self.path / "root"

    @property
    def source(self) -> Path:
        """Where the stage that files are copied from is mounted."""
        return self.path / "source"

    @property
    def empty(self) -> Path:
        """The lower directory of a stage from scratch: an overlay needs one."""
        return self.path / "empty"


@dataclass(frozen=True)
class Given:
    """A mount and where its files are: the layers of a stage or image, or a directory with a copy of the context."""

    mount: Mount
    lowers: tuple[Path, ...] = ()
    chain: str = ""
    directory: Path | None = None
    inside: str = ""
    """Path in ``directory``."""


@dataclass(frozen=True)
class Command:
    """What to run, on ``lowerdirs`` (topmost first)."""

    arguments: tuple[str, ...]
    environment: tuple[str, ...]
    user: str
    working_dir: str
    lowerdirs: tuple[Path, ...]
    script: str | None = None
    """Text of the program that ``arguments`` name, when the Dockerfile holds it."""
    mounts: tuple[Given, ...] = ()
    network: str = "default"
    insecure: bool = False
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    ssh: Mapping[str, str] = field(default_factory=dict)
    hosts: tuple[tuple[str, str], ...] = ()
    """Further names, with their addresses; ``host-gateway`` is the host."""
    shm_size: int | None = None
    ulimits: Mapping[str, Ulimit] = field(default_factory=dict)
    is_stopped: Callable[[], bool] = lambda: False
    """Whether it is to be ended now: another stage of the build failed."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and the last lines it wrote."""

    exit_code: int
    lines: tuple[str, ...] = ()


class Executor(Protocol):
    """Runs commands in a file system that is being built."""

    def run(self, command: Command, workspace: Workspace) -> Outcome:
        """Run to the end; afterwards ``workspace.upper`` holds what the command changed, and nothing of it runs.

        Raises StoppedError when it was ended. Safe among threads.
        """

    def owner(self, spelling: str, lowerdirs: Sequence[Path]) -> tuple[int, int]:
        """Numbers of ``user[:group]`` by the image's passwd(5) and group(5). Raises NotFoundError."""
