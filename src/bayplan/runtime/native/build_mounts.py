"""What is mounted for one command of a build: binds, caches, secrets, an agent's socket.

Secrets lie in a memory file system that only the step's mount namespace has: it goes with the last process in there,
whatever ends the build. What binds let a command write goes with the step's workspace.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from bayplan.errors import NotFoundError, StoppedError
from bayplan.models import Settings
from bayplan.runtime.native.agent import Agent
from bayplan.runtime.native.images.build import copy
from bayplan.runtime.native.images.build.cache import MOUNTS
from bayplan.runtime.native.images.build.executor import Command, Given, Workspace
from bayplan.runtime.native.images.build.files import Files
from bayplan.runtime.native.images.build.runmounts import Mount
from bayplan.system import mounts, namespaces, trees
from bayplan.system.beneath import open_in_root
from bayplan.system.files import locked

_SAFE = ("nosuid", "nodev")
_SHARINGS = ("shared", "locked", "private")
"""From the most to the least that others may do meanwhile."""
_LOOK_S = 0.2
CACHES = MOUNTS


class StepMounts:
    """The mounts of one command, to be used within ``held``. ``run`` is the step's run directory."""

    def __init__(self, settings: Settings, command: Command, workspace: Workspace, run: Path) -> None:
        self.caches = settings.state_root / CACHES
        self.command, self.workspace, self.run = command, workspace, run
        self._memory = run / "memory"
        self._places: dict[int, Path] = {}

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the caches, and answer for the agents, while the command runs."""
        self.run.mkdir(parents=True, exist_ok=True, mode=0o700)
        with ExitStack() as stack:
            self._places = self._caches(stack)
            for number, one in enumerate(self.command.mounts):
                if one.mount.kind == "ssh":
                    agent = Agent(self.run / f"agent-{number}", Path(self.command.ssh[one.mount.id]))
                    stack.enter_context(agent.listening(one.mount.mode, one.mount.uid, one.mount.gid))
            yield

    def _caches(self, stack: ExitStack) -> dict[int, Path]:
        """The directories of the caches, by the numbers of their mounts."""
        wanted: dict[str, list[tuple[int, Given]]] = {}
        for number, one in enumerate(self.command.mounts):
            if one.mount.kind == "cache":
                wanted.setdefault(one.mount.place(one.chain), []).append((number, one))
        found: dict[int, Path] = {}
        # In one order for all builds: two that want the same two caches must not wait for each other.
        for name, users in sorted(wanted.items()):
            # One that is mounted at two places is held once, or the command would wait for itself.
            sharing = max((one.mount.sharing for _, one in users), key=_SHARINGS.index)
            place = _lease(stack, self.caches / name, sharing, self.command.is_stopped)
            data = _filled(place, users[0][1])
            found |= {number: data for number, _ in users}
        return found

    def section(self) -> list[dict[str, Any]]:
        """``mounts`` of the runtime configuration."""
        rows = enumerate(self.command.mounts)
        return [self._entry(number, item.mount) for number, item in rows if item.mount.target]

    def environment(self) -> tuple[str, ...]:
        """Variables that belong to the mounts."""
        found = [item.mount for item in self.command.mounts]
        held = {item.id: self.command.secrets[item.id] for item in found if item.kind == "secret" and item.env}
        named = [f"{item.env}={held[item.id].decode(errors='replace')}" for item in found if item.env]
        sockets = [item.target for item in found if item.kind == "ssh"]
        return (*named, *(f"SSH_AUTH_SOCK={path}" for path in sockets[:1]))

    def show(self) -> None:
        """Mount what the configuration names, in the mount namespace of the caller. Raises NotFoundError."""
        if any(item.mount.kind == "secret" and item.mount.target for item in self.command.mounts):
            self._memory.mkdir(mode=0o700)
            mounts.mount("tmpfs", str(self._memory), "tmpfs", mounts.MS_NOSUID | mounts.MS_NODEV, "mode=0700")
        for number, item in enumerate(self.command.mounts):
            if item.mount.kind == "secret" and item.mount.target:
                _write(self._memory / str(number), self.command.secrets[item.mount.id], item.mount)
            elif item.mount.kind == "bind":
                self._bind(number, item)

    def _entry(self, number: int, item: Mount) -> dict[str, Any]:
        options = ["bind", "rprivate", *_SAFE, *([] if item.writable else ["ro"])]
        if item.kind == "tmpfs":
            options = [*_SAFE, *([f"size={item.size}"] if item.size else [])]
            return {"destination": item.target, "type": "tmpfs", "source": "tmpfs", "options": options}
        source = {
            "bind": self.run / f"bind-{number}",
            "cache": self._places.get(number),
            "secret": self._memory / str(number),
            "ssh": self.run / f"agent-{number}",
        }[item.kind]
        return {"destination": item.target, "type": "bind", "source": str(source), "options": options}

    def _bind(self, number: int, item: Given) -> None:
        """A part of the context's copy, or of a stage, which no link in it leads out of."""
        top = item.directory
        if top is None:
            place = self.workspace.path / f"bind-{number}"
            for name in ("upper", "work", "root"):
                (place / name).mkdir(parents=True)
            top = place / "root"
            upper, work = (place / "upper", place / "work") if item.mount.writable else (None, None)
            mounts.mount_overlay(item.lowers or (self.workspace.empty,), upper, work, top)
        above = os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fd = open_in_root(above, item.mount.source if item.directory is None else item.inside, os.O_PATH)
        except OSError as error:
            what = f"RUN --mount: /{item.mount.source} is not in the stage or image it is from"
            raise NotFoundError(what, hint=f"for {item.mount.target}") from error
        finally:
            os.close(above)
        target = self.run / f"bind-{number}"
        try:
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                target.mkdir(mode=0o700)
            else:
                target.touch()
            mounts.bind(f"/proc/self/fd/{fd}", str(target))
        finally:
            os.close(fd)


def _write(path: Path, content: bytes, item: Mount) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        os.fchown(fd, item.uid, item.gid)
        os.fchmod(fd, item.mode)


def _lease(stack: ExitStack, place: Path, sharing: str, is_stopped: Callable[[], bool]) -> Path:
    """The directory of a cache, held as ``sharing`` says; a private one that is in use gives way to another.

    Raises StoppedError when the command is no longer wanted before it is free.
    """
    number = 0
    while True:
        chosen = place if not number else place.with_name(f"{place.name}.{number}")
        chosen.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(chosen / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        stack.callback(os.close, fd)
        if sharing != "private":
            _await(fd, fcntl.LOCK_SH if sharing == "shared" else fcntl.LOCK_EX, is_stopped)
            return chosen
        with suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return chosen
        number += 1


def _await(fd: int, kind: int, is_stopped: Callable[[], bool]) -> None:
    """flock(2), for which another build may have us wait as long as its command runs."""
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
            return
        if is_stopped():
            raise StoppedError("another stage of the build failed")
        time.sleep(_LOOK_S)


def _filled(place: Path, item: Given) -> Path:
    """The data of a cache, made at first use with what its origin holds."""
    data, mount = place / "data", item.mount
    with locked(place / "filling", "fill a cache"):
        if data.is_dir():
            return data
        (place / "id").write_text(mount.id)
        fresh = place / "fresh"
        if fresh.exists():  # a build was killed
            trees.remove(fresh)
        fresh.mkdir()
        if item.lowers:
            namespaces.in_private_mounts(lambda: _fill(fresh, item, place))
        os.chown(fresh, mount.uid, mount.gid)
        fresh.chmod(mount.mode)
        # Whole, and once: a directory that is empty would give way to a second one, under the command that has it.
        fresh.rename(data)
    return data


def _fill(fresh: Path, item: Given, place: Path) -> None:
    top = place / "origin"
    top.mkdir(exist_ok=True)
    mounts.mount_overlay(item.lowers, None, None, top)
    root = os.open(fresh, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with Files(top, foreign=True) as files:
            group = files.entries(item.mount.source)
            if not group or group[0].kind != "directory":
                what = f"RUN --mount: /{item.mount.source} is no directory in the stage or image it is from"
                raise NotFoundError(what, hint=f"for {item.mount.target}")
            copy.copy(files, [group], copy.Target(root, "/", True, None, None, 0))
    finally:
        os.close(root)
