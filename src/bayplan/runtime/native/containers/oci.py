"""The OCI runtime (crun) and the monitor (conmon) as programs.

conmon keeps the container's standard streams, its log and its exit status without a daemon. Both are started by a
thread in a mount namespace of its own, in which the container's overlay is mounted: the kernel unmounts it when the
last of them ends, so that nothing can leak. Nothing is read through a pipe that the monitor would hold open for the
container's life: messages go to files.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from bayplan.errors import RuntimeFailureError, UnsupportedError
from bayplan.runtime.native.containers.crun import is_crun, refuse_unfiltered
from bayplan.runtime.native.containers.paths import Paths
from bayplan.runtime.native.supervisor.place import Roots
from bayplan.system.discard import Discarded
from bayplan.system.sealed import SealedProgram

if TYPE_CHECKING:
    from bayplan.models import Container

_TAIL_BYTES = 4000
_SEAL_THEMSELVES = ("crun", "runc")
_shared = functools.cache(SealedProgram)
"""One copy for the whole process."""


def streams(container: Container) -> tuple[str, ...]:
    """Options of the monitor for the container's standard streams.

    A terminal is a pseudo-terminal of the monitor's; an input that is kept open stays so when a client leaves.
    """
    terminal: tuple[str, ...] = ("-t",) if container.tty else ()
    kept = container.logging
    if kept and kept.driver != "k8s-file":
        tag = (f"--log-tag={kept.tag}",) if kept.tag else ()
        terminal = (f"--log-path={kept.driver}:", *tag, *terminal)
    kept_open = () if container.stdin_once else ("--leave-stdin-open",)
    return (*terminal, "-i", *kept_open) if container.stdin_open else terminal


class OciRuntime:
    """The configured runtime with its own state directory."""

    def __init__(self, settings: Roots) -> None:
        self.settings = settings
        self._program = _shared(_which(settings.oci_runtime))
        self.monitor = _which("conmon")
        self.root = settings.run_root / "oci"
        self.discarded = Discarded(settings.run_root, settings.state_root)

    @property
    def program(self) -> str:
        """The runtime's path; crun and runc from a sealed copy, which they would otherwise make at each start."""
        known = Path(self._program.program).name in _SEAL_THEMSELVES
        return self._program.path() if known else self._program.program

    def command(self, *arguments: str) -> list[str]:
        """An argv of the runtime."""
        # The others know no such option, and do so unless they are asked for systemd.
        manager = ["--cgroup-manager=cgroupfs"] if is_crun(self._program.program) else []
        return [self.program, "--root", str(self.root), *manager, *arguments]

    def create(self, container_id: str, paths: Paths, *streams: str) -> None:
        """Start the monitor, which creates the container; returns when the container waits to be started.

        Called with the rootfs mounted, in the mount namespace the container is to live in. ``streams`` are options of
        the monitor. Raises RuntimeFailureError with what the runtime said.
        """
        if not is_crun(self._program.program):
            refuse_unfiltered((paths.run / "config.json").read_text(), self._program.program, container_id[:12])
        reader, writer = os.pipe()
        try:
            log = paths.run / "monitor.log"
            with log.open("wb") as errors:
                process = subprocess.Popen(
                    self._monitor_command(container_id, paths, streams),
                    stdin=subprocess.DEVNULL,
                    stdout=errors,
                    stderr=errors,
                    env={"PATH": os.environ.get("PATH", os.defpath), "_OCI_SYNCPIPE": str(writer)},
                    pass_fds=(writer,),
                    cwd="/",
                    start_new_session=True,
                    umask=0o022,  # the runtime makes mount points by it
                )
            os.close(writer)
            writer = -1
            # The monitor forks; its first process ends at once and the second writes one line when the runtime did.
            process.wait()
            with os.fdopen(reader, "rb") as answer:
                reader = -1
                line = answer.readline()
        finally:
            for fd in (reader, writer):
                if fd >= 0:
                    os.close(fd)
        self._understand(line, log)

    def start(self, container_id: str, *, hooks: bool = False) -> None:
        """Let the created container run. ``hooks``: its bundle has some.

        All that ``crun start`` does for a container without hooks is to remove the FIFO on which the container waits
        and to write a byte to it (crun, src/libcrun/status.c, libcrun_status_write_exec_fifo; so since its first
        release). Done here, it takes no process. Where the FIFO is not as expected, the runtime itself is asked.
        """
        if hooks or not is_crun(self._program.program) or not self._let_go(container_id):
            self._run("start", container_id)

    def _let_go(self, container_id: str) -> bool:
        fifo = self.root / container_id / "exec.fifo"
        try:
            fd = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # ENXIO: nobody waits on it
        except OSError:
            return False
        try:
            fifo.unlink()
            return os.write(fd, b"\0") == 1
        except BrokenPipeError:
            return False
        finally:
            os.close(fd)

    def delete(self, container_id: str) -> None:
        """Forget the container; one that is unknown is no error."""
        if (self.root / container_id).exists():
            self._run("delete", "--force", container_id)

    def forget(self, container_id: str) -> None:
        """Take away the record of a container of which nothing runs any more; one that is unknown is no error.

        All that is left for ``delete`` to do then, without a process and a mount namespace for it: the cgroup is ours
        to remove (crun, src/libcrun/container.c, container_delete_internal). Not for a bundle with hooks.
        """
        (self.root / container_id / "config.json").unlink(missing_ok=True)  # its copy; variables may be secrets
        self.discarded.take(self.root / container_id)

    def update(self, container_id: str, resources: Mapping[str, Any]) -> None:
        """Set limits of a running container; ``resources`` is ``linux.resources`` of the runtime specification."""
        # Not "-": crun opens /dev/stdin for it, a link that not every /dev has.
        self._run("update", "--resources", "/proc/self/fd/0", container_id, feed=json.dumps(resources).encode())

    def _run(self, *arguments: str, feed: bytes = b"") -> None:
        """Run the runtime to its end. Files in memory instead of pipes: there is nothing to wait on but the end."""
        with _memory(feed) as given, _memory() as said:
            code = subprocess.Popen(self.command(*arguments), stdin=given, stdout=said, stderr=said).wait()
            if code:
                said.seek(0)
                output = said.read().decode(errors="replace").strip()
                raise RuntimeFailureError(f"{self.settings.oci_runtime} {arguments[0]} failed: {output}", output=output)

    def _monitor_command(self, container_id: str, paths: Paths, streams: Sequence[str]) -> list[str]:
        program, *options = self.command()
        runtime_arguments = [f"--runtime-arg={item}" for item in options]
        return [
            self.monitor,
            "--api-version=1",
            f"--cid={container_id}",
            f"--cuuid={container_id}",
            f"--name={container_id[:12]}",
            f"--runtime={program}",
            f"--bundle={paths.run}",
            f"--container-pidfile={paths.pid_file}",
            f"--conmon-pidfile={paths.monitor_pid_file}",
            f"--exit-dir={paths.exit_dir}",
            *(() if any(item.startswith("--log-path=") for item in streams) else (f"--log-path=k8s-file:{paths.log}",)),
            "--full-attach",
            *streams,
            *runtime_arguments,
        ]

    def _understand(self, line: bytes, log: Path) -> None:
        try:
            answer = json.loads(line)
        except ValueError:
            answer = {}
        pid = answer.get("data", answer.get("pid", -1))
        if isinstance(pid, int) and pid > 0:
            return
        output = str(answer.get("message") or "") or log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
        lines = output.strip().splitlines() or ["no reason is told"]
        what = f"{self.settings.oci_runtime} could not create it: {lines[-1]}"
        raise RuntimeFailureError(what, output=output if len(lines) > 1 else "")


def _memory(content: bytes = b"") -> IO[bytes]:
    """A file in memory that holds ``content``, at its begin."""
    file = os.fdopen(os.memfd_create("bayplan"), "w+b", buffering=0)
    if content:
        file.write(content)
        file.seek(0)
    return file


def tail(path: Path, lines: int = 20) -> Sequence[str]:
    """The last lines of a file; none when it is absent."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 64 * 1024))
            return file.read().decode(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        return ()


def _which(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise UnsupportedError(f"program {name} is not installed", hint=f"install package {Path(name).name}")
    return found
