"""The name server as a process: aardvark-dns of the distribution, one for each core.

It is known by the directory on its command line, which no other core shares; a pid alone is never signalled. It puts
itself in the background, reads its directory anew at SIGHUP (a few milliseconds, in which old versions answer nobody),
and forwards what it does not know to the servers of the host's resolv.conf(5).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from bayplan.errors import RuntimeFailureError
from bayplan.system.processes import Process, find_by_argument

DOMAIN = "bayplan.internal"
"""Names below it are answered by the name server alone and never asked of others."""
PORT = 53
_DIRECTORIES = ("/usr/lib/podman", "/usr/libexec/podman")  # where Debian and Fedora put it, outside of PATH
_START_S = 10.0
_END_S = 5.0
_POLL_S = 0.002


class Daemon:
    """The name server that serves one directory."""

    def __init__(self, directory: Path, program: str) -> None:
        self.directory = directory
        self.pid_file = directory / "aardvark.pid"
        self.beside = directory.with_name(f"{directory.name}.new")
        """Where a file of the directory is written before it is moved in."""
        self._program = program

    @property
    def program(self) -> str | None:
        """Path of the program; None when it is not installed."""
        return shutil.which(self._program) or shutil.which(self._program, path=os.pathsep.join(_DIRECTORIES))

    def find(self) -> Process | None:
        """The running server of this directory."""
        try:
            pid = int(self.pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        process = Process.of(pid)
        return process if process and str(self.directory) in process.arguments else None

    def start(self) -> None:
        """Start it in a session of its own. Raises RuntimeFailureError with what it said."""
        self._end_all()
        program = self.program
        if program is None:
            raise RuntimeFailureError(f"program {self._program} is not installed")
        command = [program, "--config", str(self.directory), "--port", str(PORT)]
        # A file, not a pipe: the process in the background would hold a pipe open.
        with tempfile.TemporaryFile() as output:
            try:
                done = subprocess.run(
                    [*command, "--filter-search-domain", f".{DOMAIN}", "run"],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env={"PATH": os.environ.get("PATH", os.defpath), "RUST_LOG": "warn"},
                    cwd="/",
                    start_new_session=True,
                    timeout=_START_S,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                raise RuntimeFailureError(f"{program} did not start within {_START_S:.0f} s") from error
            if done.returncode:
                output.seek(0)
                said = output.read().decode(errors="replace").strip()
                raise RuntimeFailureError(f"{program} did not start: {said}", output=said)

    def reload(self, process: Process) -> None:
        """Let it read its directory. One that has just been started is given time to install its handler."""
        deadline = time.monotonic() + _START_S
        while not process.catches(signal.SIGHUP) and process.alive and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        if process.catches(signal.SIGHUP):
            process.send(signal.SIGHUP)

    def stop(self) -> None:
        """End it and remove its directory; absent is no error."""
        if self.directory.exists():
            self._end_all()
            self.beside.unlink(missing_ok=True)
            shutil.rmtree(self.directory)

    def _end_all(self) -> None:
        """End every server of this directory, also one that a killed start left without a pid file."""
        for process in find_by_argument(str(self.directory)):
            if "--filter-search-domain" in process.arguments:
                process.send(signal.SIGTERM)
                if not process.wait(_END_S):
                    process.send(signal.SIGKILL)
                    process.wait(_END_S)
        self.pid_file.unlink(missing_ok=True)
