"""What a container takes from another that runs: its namespaces, its shared memory, its files of names."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bayplan.errors import RuntimeFailureError
from bayplan.models import Container
from bayplan.runtime.native.containers.spec import sharing
from bayplan.system import mounts, namespaces
from bayplan.system.processes import Process

_NAMES = ("/etc/hosts", "/etc/resolv.conf")
_FILES = {"network": "net", "pid": "pid", "ipc": "ipc"}


class Joined:
    """Namespaces of other containers, held open: a pid that is given to somebody else meanwhile changes nothing."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.held: dict[str, int] = {}
        self.shm = -1
        self.files: Path | None = None

    def take(self, kind: str, owner: str, process: Process | None, bundle: Path) -> None:
        """Hold the owner's namespace; ``bundle`` has its files. Raises RuntimeFailureError when it does not run."""
        lost = RuntimeFailureError(
            f"container {owner}, whose {kind} namespace is shared, does not run",
            where=f"container {self.name}",
            hint="start it first",
        )
        if process is None:
            raise lost
        try:
            self.held[kind] = os.open(f"/proc/{process.pid}/ns/{_FILES[kind]}", os.O_RDONLY | os.O_CLOEXEC)
            if kind == "ipc":
                self.shm = namespaces.clone_tree(process, "/dev/shm")  # noqa: S108 - the owner's
        except (FileNotFoundError, ProcessLookupError) as error:
            raise lost from error
        # Opened before it is asked: the pid may have been another's.
        if not process.alive:
            raise lost
        if kind == "network":
            self.files = bundle

    def put_in(self, config: str) -> str:
        """A configuration, as JSON text, with the namespaces named in it."""
        if not self.held:
            return config
        spec = json.loads(config)
        others = [item for item in spec["linux"]["namespaces"] if item["type"] not in self.held]
        mine = [{"type": kind, "path": f"/proc/{os.getpid()}/fd/{fd}"} for kind, fd in self.held.items()]
        spec["linux"]["namespaces"] = [*others, *mine]
        for entry in spec["mounts"]:
            if self.files and entry["destination"] in _NAMES:
                entry["source"] = str(self.files / Path(entry["destination"]).name)
        return json.dumps(spec)

    def furnish(self, bundle: Path) -> None:
        """Show the owner's shared memory below the bundle, in the mount namespace of the caller."""
        if self.shm >= 0:
            target = bundle / "shm"
            target.mkdir(exist_ok=True, mode=0o700)
            mounts.move_tree(self.shm, str(target))


@contextmanager
def joined(container: Container, running: Callable[[str], tuple[Process | None, Path]]) -> Iterator[Joined]:
    """The namespaces that a container shares with others, by their names. Raises RuntimeFailureError."""
    found = Joined(container.name)
    try:
        for kind, owner in sharing.owners(container).items():
            found.take(kind, owner, *running(owner))
        yield found
    finally:
        for fd in (*found.held.values(), found.shm):
            if fd >= 0:
                os.close(fd)


def lost(
    container: Container, process: Process, running: Callable[[str], tuple[Process | None, Path]]
) -> Mapping[str, str]:
    """Namespaces that a running container no longer shares with their owner, each as a sentence and its kind."""
    found = {}
    for kind, owner in sharing.owners(container).items():
        other = running(owner)[0]
        if other is None or _identity(process, kind) != _identity(other, kind):
            found[f"no longer shares the {kind} namespace of container {owner}"] = kind
    return found


def _identity(process: Process, kind: str) -> str:
    try:
        return os.readlink(f"/proc/{process.pid}/ns/{_FILES[kind]}")  # noqa: PTH115 - not a path
    except OSError:
        return ""
