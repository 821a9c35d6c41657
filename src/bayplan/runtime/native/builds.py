"""RUN steps of image builds on this core: crun in the step's overlay, on a network made for the build.

The commands get what a container gets (docs/decisions/0003-network-of-builds.md): few capabilities, no new privileges,
the seccomp filter, a cgroup and a network namespace of their own. A step's workspace is its record: made before
anything else and removed last, so that a sweep under the host's lock finds what a kill left.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from bayplan.errors import RuntimeFailureError
from bayplan.models import Container, Endpoint, Network, Settings
from bayplan.runtime.native.containers import lifecycle, logs, resolver
from bayplan.runtime.native.containers.oci import OciRuntime
from bayplan.runtime.native.containers.paths import Paths
from bayplan.runtime.native.containers.spec import Bundle, build_spec, process_environment
from bayplan.runtime.native.containers.users import resolve
from bayplan.runtime.native.images.build.builder import workspaces
from bayplan.runtime.native.images.build.executor import Command, Executor, Outcome, Workspace
from bayplan.runtime.native.images.build.runmounts import Mount
from bayplan.runtime.native.networks import BUILD_PREFIX, Networks
from bayplan.system.files import locked

_DECLARED = Container(name="build", image="build", hostname="build")
_EXIT_FILE_S = 30.0
_FOREVER_S = 7 * 86400.0
_TAIL = 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Builds:
    """The builds of one core."""

    def __init__(self, settings: Settings, networks: Networks) -> None:
        self.settings, self.networks = settings, networks

    @contextmanager
    def session(self) -> Iterator[Executor]:
        """The executor of one build. Its network is made for the first command and goes with the build."""
        name = BUILD_PREFIX + secrets.token_hex(8)
        try:
            yield _Executor(self.settings, self.networks, name)
        finally:
            self.networks.delete(name)

    def sweep(self) -> None:
        """Remove what killed builds left. Only under the host's lock: no build is under way then."""
        top = workspaces(self.settings)
        for place in top.iterdir() if top.is_dir() else ():
            runtime = OciRuntime(self.settings)
            lifecycle.clear(runtime, place.name, _paths(self.settings, Workspace(place.name, place)))
            self.networks.detach(place.name)
            shutil.rmtree(place)
        for name in self.networks.of_builds():
            self.networks.delete(name)


class _Executor:
    """Commands of one build, one at a time."""

    def __init__(self, settings: Settings, networks: Networks, network: str) -> None:
        self.settings, self.networks, self.network = settings, networks, network
        self.runtime = OciRuntime(settings)
        self._lock = threading.Lock()

    def owner(self, spelling: str, lowerdirs: Sequence[Path]) -> tuple[int, int]:
        user = resolve(spelling, lowerdirs)
        return user.uid, user.gid

    def run(self, command: Command, workspace: Workspace) -> Outcome:
        paths = _paths(self.settings, workspace)
        with self._lock:
            places = [Endpoint(network=self.network)] if command.network != "none" else []
            if places:
                self.networks.create(Network(name=self.network), "")
            try:
                attached = self.networks.attach(workspace.id, places, ())
                spec = self._spec(command, workspace, paths)
                addresses = {name: str(address) for name, address in attached.addresses.items()}
                resolver.write(paths.run, json.dumps(spec), attached.netns.path, resolver.Told("build", addresses))
                with self._caches(command):
                    process = lifecycle.start(self.runtime, workspace.id, paths, command.lowerdirs)
                    while not process.wait(_FOREVER_S):
                        pass
                code = lifecycle.await_exit_file(paths, workspace.id, _EXIT_FILE_S)
                if code is None:
                    raise RuntimeFailureError("the monitor of a build step ended without an exit code")
                lines = tuple(line.text for line in logs.read(paths.log, tail=_TAIL))
            finally:
                lifecycle.clear(self.runtime, workspace.id, paths)
                self.networks.detach(workspace.id)
        mounted = [str(item["destination"]) for item in spec["mounts"]]
        _remove_mount_points(workspace.upper, mounted, command.lowerdirs)
        return Outcome(code, lines)

    def _spec(self, command: Command, workspace: Workspace, paths: Paths) -> dict[str, Any]:
        """The runtime configuration of the command; makes the directory of its bundle."""
        user = resolve(command.user, command.lowerdirs)
        bundle = Bundle(
            workspace.id,
            paths.run,
            command.arguments,
            process_environment(_DECLARED, command.environment, user),
            command.working_dir,
            user,
            None,
            {},
        )
        paths.run.mkdir(parents=True, exist_ok=True, mode=0o700)
        spec = build_spec(_DECLARED, bundle, self.settings)
        if command.script is not None:
            spec["mounts"].append(_script(command.script, command.arguments[0], paths.run / "script"))
        spec["mounts"] += [self._mount(item) for item in command.mounts]
        return spec

    def _cache(self, item: Mount) -> Path:
        return self.settings.state_root / "build-mounts" / item.place

    def _mount(self, item: Mount) -> dict[str, Any]:
        """One mount of the runtime configuration; makes the directory of a cache."""
        safe = ["nosuid", "nodev"]
        if item.kind == "tmpfs":
            options = [*safe, *([f"size={item.size}"] if item.size else [])]
            return {"destination": item.target, "type": "tmpfs", "source": "tmpfs", "options": options}
        data = self._cache(item) / "data"
        if not data.is_dir():
            data.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh = data.with_name(secrets.token_hex(8))
            fresh.mkdir()
            os.chown(fresh, item.uid, item.gid)
            fresh.chmod(item.mode)
            with suppress(OSError):  # another build was faster
                fresh.rename(data)
        return {"destination": item.target, "type": "bind", "source": str(data), "options": ["bind", "rprivate", *safe]}

    @contextmanager
    def _caches(self, command: Command) -> Iterator[None]:
        """Hold the caches that only one command at a time may use, in one order for all builds."""
        with ExitStack() as held:
            for path in sorted({self._cache(item) for item in command.mounts if item.kind == "cache" and item.locked}):
                held.enter_context(locked(path / "lock", "build step"))
            yield


def _paths(settings: Settings, workspace: Workspace) -> Paths:
    run = settings.run_root / "builds" / workspace.id
    return Paths(workspace.path, run, f"{settings.cgroup_parent}/{workspace.id}")


def _script(text: str, target: str, source: Path) -> dict[str, Any]:
    """The program of a heredoc, read-only below the container's own /dev: no layer holds it."""
    source.write_text(text)
    source.chmod(0o755)
    options = ["bind", "ro", "rprivate", "nosuid", "nodev"]
    return {"destination": target, "type": "bind", "source": str(source), "options": options}


def _remove_mount_points(upper: Path, destinations: Sequence[str], lowerdirs: Sequence[Path]) -> None:
    """Take out what the OCI runtime made to mount on: empty, and with a mount over it no command has put data there.

    A directory above goes too when no layer has it. The command may have put a link in its place, so none is followed.
    """
    for destination in sorted(destinations, key=len, reverse=True):
        parts = destination.strip("/").split("/")
        while parts and _remove_empty(upper, parts):
            parts.pop()
            if any((low / "/".join(parts)).exists() for low in lowerdirs):
                break


def _remove_empty(upper: Path, parts: Sequence[str]) -> bool:
    """Remove an empty file or directory; whether the way is free to look at the directory above."""
    fd = os.open(upper, _DIRECTORY)
    try:
        for part in parts[:-1]:
            below = os.open(part, _DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = below
        found = os.stat(parts[-1], dir_fd=fd, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            os.rmdir(parts[-1], dir_fd=fd)
        elif stat.S_ISREG(found.st_mode) and not found.st_size:
            os.unlink(parts[-1], dir_fd=fd)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(fd)
