"""RUN steps of image builds on this core: crun in the step's overlay, on a network made for the build.

The commands get what a container gets (docs/decisions/0003-network-of-builds.md): few capabilities, no new privileges,
the seccomp filter, a cgroup and a network namespace of their own. A step's workspace is its record: made before
anything else and removed last, so that a sweep under the host's lock finds what a kill left.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bayplan.errors import RuntimeFailureError, StoppedError
from bayplan.models import Container, Endpoint, Network, Settings
from bayplan.runtime.native import build_points
from bayplan.runtime.native.build_mounts import StepMounts
from bayplan.runtime.native.containers import apparmor, lifecycle, logs, resolver
from bayplan.runtime.native.containers.oci import OciRuntime
from bayplan.runtime.native.containers.paths import Paths
from bayplan.runtime.native.containers.spec import Bundle, build_spec, process_environment
from bayplan.runtime.native.containers.users import resolve
from bayplan.runtime.native.images.build.builder import workspaces
from bayplan.runtime.native.images.build.executor import Command, Executor, Outcome, Workspace
from bayplan.runtime.native.networks import BUILD_PREFIX, Attachment, Networks
from bayplan.system import trees
from bayplan.system.files import private_directory

_DECLARED = Container(name="build", image="build", hostname="build")
_EXIT_FILE_S = 30.0
_LOOK_S = 0.2
_TAIL = 20
_SHORTEST = 4


class Builds:
    """The builds of one core."""

    def __init__(self, settings: Settings, networks: Networks) -> None:
        self.settings, self.networks = settings, networks

    @contextmanager
    def session(self) -> Iterator[Executor]:
        """The executor of one build. Its network is made for the first command and goes with the build."""
        name = BUILD_PREFIX + secrets.token_hex(8)
        made = _Executor(self.settings, self.networks, name)
        try:
            yield made
        finally:
            made.close()

    def sweep(self) -> None:
        """Remove what killed builds left. Only under the host's lock: no build is under way then."""
        top = workspaces(self.settings)
        for place in top.iterdir() if top.is_dir() else ():
            runtime = OciRuntime(self.settings)
            lifecycle.clear(runtime, place.name, _paths(self.settings, Workspace(place.name, place)))
            self.networks.detach(place.name)
            trees.remove(place)
        for name in self.networks.of_builds():
            rows = self.networks.database.query("SELECT container_id FROM endpoints WHERE network = ?", (name,))
            for row in rows:
                self.networks.detach(str(row[0]))
            self.networks.delete(name)


class _Executor:
    """Commands of one build, from as many threads as it has stages."""

    def __init__(self, settings: Settings, networks: Networks, network: str) -> None:
        self.settings, self.networks, self.network = settings, networks, network
        self.runtime = OciRuntime(settings)
        self._lock = threading.Lock()
        self._made: list[str] = []
        self._free: list[tuple[str, Attachment]] = []

    def owner(self, spelling: str, lowerdirs: Sequence[Path]) -> tuple[int, int]:
        user = resolve(spelling, lowerdirs)
        return user.uid, user.gid

    def run(self, command: Command, workspace: Workspace) -> Outcome:
        paths = _paths(self.settings, workspace)
        with self._place(command) as attached:
            given = StepMounts(self.settings, command, workspace, paths.run)
            addresses = {name: str(address) for name, address in attached.addresses.items()} if attached else {}
            netns = attached.netns.path if attached else None
            points: list[build_points.Point] = []
            ended = False
            try:
                with given.held():
                    spec = self._spec(command, workspace, paths, given)
                    mounted = [str(item["destination"]) for item in spec["mounts"]]
                    config = json.dumps(spec)
                    apparmor.ensure(config)
                    resolver.write(paths.run, config, netns, resolver.Told("build", addresses))
                    _add_hosts(paths.run, command, attached)

                    def furnish(_: Path) -> None:
                        given.show()
                        points.extend(build_points.look(paths.rootfs, mounted))

                    process = lifecycle.start(self.runtime, workspace.id, paths, command.lowerdirs, furnish=furnish)
                    while not process.wait(_LOOK_S):
                        if command.is_stopped():
                            lifecycle.kill(paths.cgroup)  # before its caches are another's
                            raise StoppedError("another stage of the build failed")
                    code = lifecycle.await_exit_file(paths, workspace.id, _EXIT_FILE_S)
                if code is None:
                    raise RuntimeFailureError("the monitor of a build step ended without an exit code")
                ended = True
                lines = tuple(line.text for line in logs.read(paths.log, tail=_TAIL)) if code else ()
            finally:
                # The runtime removes its own copy, and needs it for that, unless there is nothing left to end.
                _forget_secrets(paths.run, *([self.runtime.root / workspace.id] if ended else []))
                lifecycle.clear(self.runtime, workspace.id, paths, started=ended)
        build_points.remove(workspace.upper, points, command.lowerdirs)
        return Outcome(code, tuple(_masked(line, command.secrets.values()) for line in lines))

    @contextmanager
    def _place(self, command: Command) -> Iterator[Attachment | None]:
        """A network namespace that no other command uses meanwhile; one that another command is done with if there is.

        It holds nothing of that command: its processes are gone, and without CAP_NET_ADMIN it could change nothing;
        that of one which had it is not used again.
        """
        if command.network == "host":
            yield None
            return
        if command.network == "none":
            yield self.networks.attach(f"{self.network}.none", (), ())
            return
        with self._lock:
            if self._free:
                name, attached = self._free.pop()
            else:
                self.networks.create(Network(name=self.network), "")
                name = f"{self.network}.{len(self._made)}"
                self._made.append(name)
                attached = self.networks.attach(name, [Endpoint(network=self.network)], ())
        yield attached
        if not command.insecure:
            with self._lock:
                self._free.append((name, attached))

    def close(self) -> None:
        """Take the network away."""
        self._free.clear()
        for name in self._made:
            self.networks.detach(name, ended=True)
        self.networks.settle()
        self.networks.delete(self.network)

    def _spec(self, command: Command, workspace: Workspace, paths: Paths, given: StepMounts) -> dict[str, Any]:
        """The runtime configuration of the command; makes the directory of its bundle."""
        updates: dict[str, Any] = {"privileged": True} if command.insecure else {}
        updates |= {"network_mode": "host"} if command.network == "host" else {}
        updates |= {"shm_size": command.shm_size, "ulimits": dict(command.ulimits)}
        declared = _DECLARED.model_copy(update=updates)
        user = resolve(command.user, command.lowerdirs)
        bundle = Bundle(
            workspace.id,
            paths.run,
            command.arguments,
            process_environment(declared, (*command.environment, *given.environment()), user),
            command.working_dir,
            user,
            None,
            {},
        )
        private_directory(paths.run)
        spec = build_spec(declared, bundle, self.settings)
        if command.script is not None:
            spec["mounts"].append(_script(command.script, command.arguments[0], paths.run / "script"))
        spec["mounts"] += given.section()
        return spec


def _paths(settings: Settings, workspace: Workspace) -> Paths:
    run = settings.run_root / "builds" / workspace.id
    return Paths(workspace.path, run, f"{settings.cgroup_parent}/{workspace.id}")


def _add_hosts(bundle: Path, command: Command, attached: Attachment | None) -> None:
    """The declared names behind what its hosts file has."""
    host = str(attached.gateway) if attached and attached.gateway else "127.0.0.1"
    pairs = [(name, one) for name, value in command.hosts for one in value.split(",")]
    with (bundle / "hosts").open("a") as file:
        file.writelines(f"{host if one == 'host-gateway' else one}\t{name}\n" for name, one in pairs)


def _forget_secrets(*bundles: Path) -> None:
    """The configuration, of which the runtime has a copy, holds secrets; its directory is only set aside for now."""
    for bundle in bundles:
        with suppress(FileNotFoundError):
            os.truncate(bundle / "config.json", 0)


def _masked(line: str, held: Iterable[bytes]) -> str:
    """What a command wrote, without the secrets it was given; very short ones would make it unreadable.

    A key has many lines, and they come one by one.
    """
    parts = {part.strip() for content in held for part in content.decode(errors="replace").splitlines()}
    for text in sorted(parts, key=len, reverse=True):
        if len(text) >= _SHORTEST:
            line = line.replace(text, "***")
    return line


def _script(text: str, target: str, source: Path) -> dict[str, Any]:
    """The program of a heredoc, read-only below the container's own /dev: no layer holds it."""
    source.write_text(text)
    source.chmod(0o755)
    options = ["bind", "ro", "rprivate", "nosuid", "nodev"]
    return {"destination": target, "type": "bind", "source": str(source), "options": options}
