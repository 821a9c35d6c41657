"""Commands run in a running container (ContainerExec)."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Any

from bayplan.errors import RuntimeFailureError
from bayplan.models import Duration
from bayplan.runtime.engine_api.answers import AnswerError
from bayplan.runtime.engine_api.client import EngineClient, told
from bayplan.runtime.engine_api.streams import Connection
from bayplan.runtime.protocol import ExecResult
from bayplan.system import terminal
from bayplan.system.processes import Process

TIMED_OUT, NOT_EXECUTABLE, NOT_FOUND = 124, 126, 127
"""Exit codes as timeout(1) and shells have them."""
NO_KEYS = ",".join(["ctrl-_"] * 8)
"""Keys to detach that nobody types: an engine takes none for its own default."""
_CODE_S = 5.0
_END = b"\x04"
"""What ends the input of a terminal (termios(3), VEOF)."""
_GOES_ON = b"bayplan: its time has passed; it goes on, as only root on the engine's host can end it\n"
_NOT_STARTED = re.compile(rb"^(OCI runtime exec failed|Error: |exec failed|runc exec|crun: )[^\n]*", re.MULTILINE)


def run(
    client: EngineClient,
    found: Mapping[str, Any],
    command: Sequence[str],
    *,
    user: str | None,
    environment: Mapping[str, str] | None,
    working_dir: str | None,
    tty: bool,
    stdin: bytes | None,
    capture: bool,
    detach: bool,
    privileged: bool,
    detach_keys: bytes,
    timeout: Duration | None,
) -> ExecResult:
    """See ``Runtime.exec``; ``found`` is the inspection. At its deadline a command is killed where this process may."""
    name = str(found["Name"]).lstrip("/")
    feeds = stdin is not None or (not capture and not detach)
    body = {
        "AttachStdin": feeds,
        "AttachStdout": not detach,
        "AttachStderr": not detach,
        "Tty": tty,
        "Cmd": list(command),
        "Env": [f"{key}={value}" for key, value in (environment or {}).items()],
        "User": user or "",
        "WorkingDir": _absolute(found, working_dir),
        "Privileged": privileged,
        # Found by us: where it took them too, it would hold back what only begins like them.
        "DetachKeys": NO_KEYS,
    }
    with told(f"container {name}"):
        made = str(client.call("POST", f"/containers/{found['Id']}/exec", body=body)["Id"])
        try:
            if detach:
                client.call("POST", f"/exec/{made}/start", body={"Detach": True, "Tty": tty})
                return ExecResult(0)
            start = {"Detach": False, "Tty": tty}
            with Connection(
                client, f"/exec/{made}/start", tty=tty, sized=f"/exec/{made}/resize", body=start
            ) as connection:
                deadline = None if timeout is None else time.monotonic() + timeout.total_seconds()
                try:
                    done = _carried(connection, detach_keys, tty=tty, stdin=stdin, capture=capture, deadline=deadline)
                except TimeoutError:
                    left = b"" if _killed(client, made) else _GOES_ON
                    return ExecResult(TIMED_OUT, b"", left)
        except AnswerError as error:
            code = _refused(str(error.explanation or error))
            if code is None:
                raise
            said = str(error.explanation or error).encode() + b"\n"
            if not capture:
                terminal.write_all(2, said)
            return ExecResult(code, b"", said if capture else b"")
        if done is None:
            return ExecResult(0)
        code = _code(client, made)
    return _understood(code, *done)


def _carried(
    connection: Connection, keys: bytes, *, tty: bool, stdin: bytes | None, capture: bool, deadline: float | None
) -> tuple[bytes, bytes] | None:
    """What it wrote, when that is asked for; else the caller's own streams are carried to its end.

    None: the keys were typed that leave it running.
    """
    if stdin is not None:
        connection.send(stdin + _END if tty else stdin)
        if not tty:  # Docker hangs up a terminal whose input is closed
            connection.end()
    if capture:
        return connection.everything(deadline)
    ended = terminal.join(connection, tty=tty, stdin=stdin is None, keys=keys if tty else b"")
    return (b"", b"") if ended else None


def _killed(client: EngineClient, made: str) -> bool:
    """Whether it was ended, with its process group. The API has no word for it: it takes a signal from this host."""
    said = client.call("GET", f"/exec/{made}/json")
    if not said.get("Running") or not said.get("Pid"):
        return True
    process = Process.of(int(said["Pid"])) if client.is_local else None
    try:
        return process is not None and (process.send_group(signal.SIGKILL) or process.send(signal.SIGKILL))
    except PermissionError:
        return False


def _code(client: EngineClient, made: str) -> int:
    """The exit code: it is known a moment after the streams have ended."""
    end = time.monotonic() + _CODE_S
    while True:
        said = client.call("GET", f"/exec/{made}/json")
        if said.get("ExitCode") is not None and not said.get("Running"):
            return int(said["ExitCode"])
        if time.monotonic() > end:
            raise RuntimeFailureError("the engine does not say how the command ended")
        time.sleep(0.02)


def _refused(text: str) -> int | None:
    """The exit code of a command that could not be started; None when something else is wrong."""
    lowered = text.lower()
    if "chdir" not in lowered and ("executable file not found" in lowered or "no such file or directory" in lowered):
        return NOT_FOUND
    words = ("permission denied", "not executable", "exec format", "is a directory", "chdir", "not a directory")
    return NOT_EXECUTABLE if any(word in lowered for word in words) and "exec" in lowered else None


def _understood(code: int, out: bytes, err: bytes) -> ExecResult:
    """What an engine writes into the output of a command that it could not start belongs to the errors."""
    if code in (NOT_EXECUTABLE, NOT_FOUND) and not err and (match := _NOT_STARTED.match(out)):
        return ExecResult(_refused(match[0].decode(errors="replace")) or code, b"", out)
    return ExecResult(code, out, err)


def _absolute(found: Mapping[str, Any], working_dir: str | None) -> str:
    """A relative one begins at the container's own (podman refuses it, docker takes it from the root)."""
    if not working_dir or working_dir.startswith("/"):
        return working_dir or ""
    return os.path.normpath(f"{(found.get('Config') or {}).get('WorkingDir') or '/'}/{working_dir}")
