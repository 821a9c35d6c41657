"""One health check that runs: a command in the container, its output, its deadline."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from bayplan.runtime.native.containers.execute import kill, process_file
from bayplan.runtime.native.containers.oci import OciRuntime
from bayplan.runtime.native.containers.paths import Paths
from bayplan.runtime.native.supervisor.records import OUTPUT_BYTES
from bayplan.runtime.native.supervisor.schedule import Check
from bayplan.system import namespaces
from bayplan.system.files import write_private

_READ_BYTES = 65536


class RunningCheck:
    """The command, started. The owner watches ``process_fd`` (its end) and ``output_fd``."""

    def __init__(self, runtime: OciRuntime, container_id: str, paths: Paths, check: Check) -> None:
        """Start it. Raises OSError when it cannot be started."""
        self.output, self.check = b"", check
        self._pid_file, self._cgroup = _pid_file(paths), paths.cgroup
        self._file = paths.run / "health.json"
        spec = json.loads((paths.run / "config.json").read_text())
        process = process_file(spec, check.command, user=None, environment={}, working_dir=None, tty=False)
        write_private(self._file, json.dumps(process))
        argv = runtime.command("exec", "--process", str(self._file), "--pid-file", str(self._pid_file), container_id)
        self._child = namespaces.in_private_mounts(
            lambda: subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0, cwd="/"
            )
        )
        assert self._child.stdout is not None
        self.output_fd = self._child.stdout.fileno()
        os.set_blocking(self.output_fd, False)
        self.process_fd = os.pidfd_open(self._child.pid)

    def read(self) -> bool:
        """Take in some of what it wrote, of which the first 4 KiB are kept. False when it writes no more.

        One piece: whoever writes without end must not keep the owner from its other work.
        """
        try:
            piece = os.read(self.output_fd, _READ_BYTES)
        except BlockingIOError:
            return True
        self.output += piece[: OUTPUT_BYTES - len(self.output)]
        return bool(piece)

    def finish(self) -> int:
        """Free everything of an ended check; its exit code. What it left in the background keeps no pipe to us."""
        self.read()
        code = self._child.wait()
        self._free()
        return code

    def kill(self) -> None:
        """End the command with its process group, and the runtime that started it."""
        kill(self._pid_file, self._cgroup)
        self._child.kill()
        self._child.wait()
        self._free()

    def _free(self) -> None:
        if self._child.stdout:
            self._child.stdout.close()
        os.close(self.process_fd)
        self._file.unlink(missing_ok=True)
        self._pid_file.unlink(missing_ok=True)


def end_left(paths: Paths) -> None:
    """End a check that an earlier supervisor, which was killed, left running in this container."""
    file = _pid_file(paths)
    if not file.exists():
        return
    kill(file, paths.cgroup)
    file.unlink(missing_ok=True)


def _pid_file(paths: Paths) -> Path:
    return paths.run / "health.pid"
