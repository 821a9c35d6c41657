"""Commands run in containers, and what containers wrote."""

from __future__ import annotations

import shlex
from datetime import datetime
from typing import Any

from bayplan.bridge.rooms import Asked, container_ids
from bayplan.errors import ConflictError, DeclarationError, NotFoundError
from bayplan.load.moments import moment
from bayplan.models import Duration, Kind
from bayplan.runtime.protocol import Observed, Runtime, Scope, State

_TIMED_OUT = 124


def container_exec(asked: Asked) -> dict[str, Any]:
    """Exit code and output of a command. A check only looks whether it could be run: nobody knows what it would do."""
    options, name = asked.options, asked.text("container")
    argv = _argv(asked)
    timeout = _duration(options.get("timeout"))
    with asked.opened() as (runtime, _):
        found = the_container(runtime, name)
        if found.status.state is not State.RUNNING:
            state = found.status.state.value
            raise ConflictError(f"container {name} does not run ({state})", hint="start it first")
        if asked.check:
            return {"changed": True, "skipped": True, "rc": 0, "msg": "would run the command; not run in check mode"}
        stdin = options.get("stdin")
        if stdin is not None and options.get("stdin_add_newline", True):
            stdin += "\n"
        done = runtime.exec(
            name,
            argv,
            user=options.get("user"),
            environment={key: str(value) for key, value in (options.get("env") or {}).items()},
            working_dir=options.get("chdir"),
            tty=bool(options.get("tty")) and not options.get("detach"),
            stdin=(stdin or "").encode(),
            detach=bool(options.get("detach")),
            privileged=bool(options.get("privileged")),
            timeout=timeout,
        )
    if options.get("detach"):
        return {"changed": True}
    stdout, stderr = (_text(part, strip=options.get("strip_empty_ends", True)) for part in (done.stdout, done.stderr))
    code = done.exit_code
    told = f"the command ended with exit code {code}"
    if timeout is not None and code == _TIMED_OUT:
        told = f"the command had not ended after {timeout}, and was killed"
    said = {"msg": told} if code else {}  # Ansible fails the task for such a code
    return {"changed": True, "rc": code, "stdout": stdout, "stderr": stderr, **said}


def container_logs(asked: Asked) -> dict[str, Any]:
    """What a container wrote, each line with its time and stream."""
    options, name = asked.options, asked.text("container")
    since, until = (_moment(options.get(key), key) for key in ("since", "until"))
    with asked.opened() as (runtime, _):
        the_container(runtime, name)
        lines = list(runtime.logs(name, tail=options.get("tail"), since=since, until=until))
    entries = [{"time": line.time.isoformat(), "stream": line.stream, "text": line.text} for line in lines]
    texts = {stream: [line.text for line in lines if line.stream == stream] for stream in ("stdout", "stderr")}
    return {"changed": False, "lines": entries, **{stream: "\n".join(found) for stream, found in texts.items()}}


def the_container(runtime: Runtime, name: str) -> Observed:
    """A container by name. Raises NotFoundError."""
    (wanted,) = container_ids([name])
    found = runtime.observe(Scope(names=(wanted,))).get(wanted)
    if found is None or found.actual.kind is not Kind.CONTAINER:
        raise NotFoundError(f"container {name} does not exist", hint="see the module container_info")
    return found


def _argv(asked: Asked) -> list[str]:
    argv, command = asked.options.get("argv"), asked.options.get("command")
    if (argv is None) == (command is None):
        raise DeclarationError("give one of argv and command", where="container_exec")
    if argv is not None:
        words = [str(part) for part in argv]
    else:
        try:
            words = shlex.split(str(command))
        except ValueError as error:
            raise DeclarationError(f"command: {error}", where="container_exec", hint="close the quotes") from error
    if not words:
        raise DeclarationError("the command is empty", where="container_exec")
    return words


def _text(data: bytes, *, strip: bool) -> str:
    text = data.decode(errors="replace")
    return text.rstrip("\r\n") if strip else text


def _duration(given: object) -> Duration | None:
    if given in (None, ""):
        return None
    try:
        return Duration.parse(f"{given}s" if str(given).isdecimal() else given)
    except ValueError as error:
        raise DeclarationError(f"timeout: {error}", where="container_exec") from error


def _moment(given: object, option: str) -> datetime | None:
    return moment(None if given is None else str(given), option)
