"""Commands run in a running container, by ``exec`` of the OCI runtime."""

from __future__ import annotations

import json
import os
import posixpath
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayplan.errors import RuntimeFailureError
from bayplan.runtime.native.containers.oci import OciRuntime
from bayplan.runtime.native.containers.paths import Paths
from bayplan.runtime.native.containers.users import User
from bayplan.system import cgroups, namespaces
from bayplan.system.files import write_private

if TYPE_CHECKING:
    from bayplan.runtime.protocol import ExecResult

_DRAIN_S = 2.0
TIMED_OUT = 124
"""Exit code of a command that was killed at its deadline, as timeout(1) has it."""
NOT_EXECUTABLE = 126
_REFUSALS = ("permission denied", "not executable", "exec format", "is a directory", "chdir")
"""Of crun 1.8 (the errors of execve(2)) and of newer ones (``exists but it is not executable``)."""
NOT_FOUND = 127


def process_file(
    spec: Mapping[str, Any],
    command: Sequence[str],
    *,
    user: User | None,
    environment: Mapping[str, str],
    working_dir: str | None,
    tty: bool,
    privileged: bool = False,
) -> dict[str, Any]:
    """``process`` of the container's own specification with the command's differences.

    ``privileged`` gives it every capability of the host, and no AppArmor profile; the filter of system calls stays that
    of the container, as with Docker.
    """
    process = dict(spec["process"])
    merged = dict(entry.partition("=")[::2] for entry in process["env"])
    merged.update(environment)
    process.update(args=list(command), env=[f"{key}={value}" for key, value in merged.items()], terminal=tty)
    if working_dir:
        # Absolute, whatever the caller says: a runtime would take it from where it is itself (CVE-2024-21626).
        process["cwd"] = posixpath.normpath(posixpath.join(process["cwd"], working_dir))
    if user:
        process["user"] = {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)}
        held = process["capabilities"]
        effective = held["bounding"] if user.uid == 0 else []
        process["capabilities"] = {**held, "effective": effective, "permitted": effective}
    if privileged:
        # Here: the supervisor loads this room for its checks, and none of the models with it.
        from bayplan.runtime.native.containers.spec import isolation

        names = sorted(f"CAP_{name}" for name in isolation.available())
        given = dict.fromkeys(("bounding", "effective", "permitted"), names)
        process["capabilities"] = {**process["capabilities"], **given}
        process["noNewPrivileges"] = False
        process.pop("apparmorProfile", None)
    return process


def run(
    runtime: OciRuntime,
    container_id: str,
    paths: Paths,
    process: Mapping[str, Any],
    *,
    stdin: bytes | None,
    capture: bool,
    timeout_s: float | None,
    detach: bool = False,
    detach_keys: bytes = b"",
) -> ExecResult:
    """Run the process and wait for it. At the deadline it is killed and the code is ``TIMED_OUT``.

    One that cannot be run gives 127 when it is not there and 126 when it is not executable, and the runtime's message
    as its errors (docker exec; POSIX shell, "Exit Status for Commands"). ``detach`` waits only for its start; with a
    terminal and not captured, the terminal is carried to the caller's streams.
    """
    from bayplan.runtime.protocol import ExecResult

    file = paths.run / f"exec-{secrets.token_hex(8)}.json"
    pid_file, log = file.with_suffix(".pid"), file.with_suffix(".log")
    size = _window() if process["terminal"] and not capture else None
    if size:
        # With its begin (config.md, "process"): set by us after the start, it comes too late for a program that asks at
        # once. crun sets it as the program begins, which on a busy host may still be a moment too late.
        process = {**process, "consoleSize": {"height": size[0], "width": size[1]}}
    write_private(file, json.dumps(process))
    argv = runtime.command(f"--log={log}", "exec", "--process", str(file), "--pid-file", str(pid_file))
    try:
        if detach:
            code = _spawn([*argv, "--detach", container_id], subprocess.DEVNULL, subprocess.DEVNULL).wait()
            done = ExecResult(code)
        elif process["terminal"] and capture:
            done = _typed(argv, container_id, paths, pid_file=pid_file, stdin=stdin or b"", timeout_s=timeout_s)
        elif process["terminal"]:
            done = ExecResult(_on_terminal(argv, container_id, paths, detach_keys))
        else:
            done = namespaces.in_private_mounts(
                lambda: _communicate([*argv, container_id], (pid_file, paths.cgroup), stdin, capture, timeout_s)
            )
        # Where its own errors reach the caller, the runtime has said there what it has written to its log.
        return _understood(done, log, show=not capture and (detach or process["terminal"]))
    finally:
        for item in (file, pid_file, log):
            item.unlink(missing_ok=True)


def _spawn(argv: list[str], stdin: int, output: int, *, apart: bool = False) -> subprocess.Popen[bytes]:
    """Only the start is made in the private mount namespace: the child keeps it. ``apart``: in a session of its own."""
    given: dict[str, Any] = {"stdin": stdin, "stdout": output, "stderr": output, "start_new_session": apart}
    return namespaces.in_private_mounts(lambda: subprocess.Popen(argv, **given))


def _window() -> tuple[int, int] | None:
    """Rows and columns of the caller's terminal."""
    from bayplan.system import terminal

    return terminal.window(1) or terminal.window(0)


def _typed(
    argv: list[str], container_id: str, paths: Paths, *, pid_file: Path, stdin: bytes, timeout_s: float | None
) -> ExecResult:
    """On a terminal before which nobody sits: what is typed is known, and what it shows is kept."""
    from bayplan.runtime.protocol import ExecResult

    over = threading.Event()

    def end() -> None:
        over.set()
        kill(pid_file, paths.cgroup)

    clock = threading.Timer(timeout_s or 0, end)
    with tempfile.TemporaryFile() as typed, tempfile.TemporaryFile() as shown:
        typed.write(stdin)
        typed.seek(0)
        if timeout_s is not None:
            clock.start()
        try:
            code = _on_terminal(argv, container_id, paths, b"", source=typed.fileno(), sink=shown.fileno())
        finally:
            clock.cancel()
        shown.seek(0)
        return ExecResult(TIMED_OUT if over.is_set() else code, shown.read(), b"")


def _on_terminal(
    argv: list[str], container_id: str, paths: Paths, keys: bytes, *, source: int = 0, sink: int = 1
) -> int:
    """Its exit code; 0 when it was left running."""
    from bayplan.runtime.native.containers import terminal

    console = terminal.ConsoleSocket(paths.run)
    try:
        whole = [*argv, "--console-socket", str(console.path), container_id]
        # Apart: left behind, it must not end with the caller's terminal.
        child = _spawn(whole, subprocess.DEVNULL, subprocess.DEVNULL, apart=True)
        master = console.receive(child)
    finally:
        console.close()
    if master is not None:
        try:
            if not terminal.relay(master, child, keys, source, sink):
                _keep(master)
                return 0
        finally:
            os.close(master)
    return child.wait()


def _keep(master: int) -> None:
    """Let somebody hold a terminal, and read what is written to it, as long as it is used: its end is a hang-up."""
    subprocess.Popen(
        ["cat"], stdin=master, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def _understood(done: ExecResult, log: Path, *, show: bool) -> ExecResult:
    """The result; what the runtime itself said means that the command was not run. ``show``: nobody has seen it yet."""
    from bayplan.runtime.protocol import ExecResult

    said = log.read_text(errors="replace").strip() if log.exists() else ""
    if not said or not done.exit_code or done.exit_code == TIMED_OUT:
        return done
    lowered = said.lower()
    if "chdir" not in lowered and ("not found" in lowered or "no such file" in lowered):
        code = NOT_FOUND
    elif any(words in lowered for words in _REFUSALS):
        code = NOT_EXECUTABLE
    else:
        raise RuntimeFailureError(f"the command could not be run: {said}", output=said)
    if show:
        sys.stderr.write(f"{said}\n")
    known = said.encode()
    return ExecResult(code, done.stdout, done.stderr if known in done.stderr else done.stderr + known)


def _communicate(
    argv: list[str], started: tuple[Path, str], stdin: bytes | None, capture: bool, timeout_s: float | None
) -> ExecResult:
    from bayplan.runtime.protocol import ExecResult

    pipe = subprocess.PIPE if capture else None
    feed = subprocess.PIPE if stdin is not None else subprocess.DEVNULL if capture else None
    child = subprocess.Popen(argv, stdin=feed, stdout=pipe, stderr=pipe)
    try:
        out, err = child.communicate(stdin, timeout_s)
    except subprocess.TimeoutExpired:
        kill(*started)
        child.kill()
        try:
            out, err = child.communicate(timeout=_DRAIN_S)
        except subprocess.TimeoutExpired as left:
            # Something that left the process group still holds the pipes.
            out, err = left.stdout or b"", left.stderr or b""
            for stream in (child.stdin, child.stdout, child.stderr):
                if stream:
                    stream.close()
            child.wait()
        return ExecResult(TIMED_OUT, out or b"", err or b"")
    if child.returncode < 0:
        raise RuntimeFailureError(f"exec was ended by signal {-child.returncode}")
    return ExecResult(child.returncode, out or b"", err or b"")


def kill(pid_file: Path, cgroup: str) -> None:
    """End the command with its process group: it is no child of ours, and outlives the runtime that started it.

    Only while it is in the container's group: the pid of one that has ended may be a stranger's by now.
    """
    try:
        pid = int(pid_file.read_text())
    except (FileNotFoundError, ValueError):
        return
    for process in cgroups.members(cgroup):
        if process.pid == pid:
            process.send_group(signal.SIGKILL)
