"""Another host by the system's ssh: the user's keys, configuration and known hosts."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bayplan.errors import DeclarationError, RuntimeFailureError, UnavailableError

_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}|\[?[0-9a-fA-F:]+\]?")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_LOGIN_S = 60.0
_ANSWER_S = 300.0
_END_S = 10.0


@dataclass(frozen=True)
class Remote:
    """Where to: ``user`` empty and ``port`` 0 leave it to the ssh configuration."""

    host: str
    user: str = ""
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> Remote:
        """Read ``ssh://[user@]host[:port]``. Raises DeclarationError; nothing in it can become an option of ssh."""
        try:
            parts = urlsplit(text)
            host, user, port = parts.hostname or "", parts.username or "", parts.port or 0
        except ValueError:
            host, user, port, parts = "", "", 0, urlsplit("")
        rest = parts.path.strip("/") or parts.query or parts.fragment or parts.password
        if parts.scheme != "ssh" or rest or not _HOST.fullmatch(host) or (user and not _USER.fullmatch(user)):
            raise DeclarationError(f"{text!r} is no host to reach by ssh", hint="write ssh://[user@]host[:port]")
        return cls(host, user, port)

    def command(self, *rest: str, options: tuple[str, ...] = ()) -> list[str]:
        """The argv of ssh: no terminal, no questions (a password would be asked for on the terminal)."""
        login = ["-l", self.user] if self.user else []
        port = ["-p", str(self.port)] if self.port else []
        return ["ssh", "-T", "-o", "BatchMode=yes", *options, *port, *login, "--", self.host, *rest]


def ask(remote: Remote, command: str, request: Mapping[str, object]) -> dict[str, Any]:
    """One request to a bridge (``command``) on another host, and its answer.

    Raises UnavailableError with what ssh says when none comes, RuntimeFailureError for what the other side says.
    """
    where, text = f"host {remote.host}", json.dumps(request).encode() + b"\n"
    try:
        done = subprocess.run(remote.command(command), input=text, capture_output=True, timeout=_ANSWER_S, check=False)
    except FileNotFoundError:
        raise DeclarationError("ssh is not installed", hint="install package openssh-client") from None
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"there was no answer within {_ANSWER_S:.0f}s", where=where) from None
    if not done.stdout.strip():
        raise UnavailableError(
            "the bridge there ended without an answer",
            where=where,
            hint="is bayplan installed there, and does ssh log in without a question?",
            output=done.stderr[-4000:].decode(errors="replace"),
        )
    try:
        found = json.loads(done.stdout)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        said = done.stdout[:200].decode(errors="replace")
        raise RuntimeFailureError(f"what answers is no bridge: {said!r}", where=where)
    if found.get("failed"):
        raise RuntimeFailureError(str(found.get("msg")), where=where, output=str(found.get("output") or ""))
    return found


class Tunnel:
    """A unix socket of another host, reachable by one of this host (``path``) until ``close``.

    Raises UnavailableError with what ssh says when it cannot log in, DeclarationError without ssh.
    """

    def __init__(self, remote: Remote, socket: str) -> None:
        self._held = ExitStack()
        self.path = Path(self._held.enter_context(tempfile.TemporaryDirectory(prefix="bayplan-"))) / "engine.sock"
        self._said = self._held.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - closed with the stack
        forward = ("-N", "-o", "ExitOnForwardFailure=yes", "-L", f"{self.path}:{socket}")
        # Without us nobody would end it; setpriv is of util-linux, which every Debian has.
        argv = ["setpriv", "--pdeathsig", "TERM", *remote.command(options=forward)]
        try:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._said
            )
            self._await(remote)
        except FileNotFoundError:
            raise DeclarationError("ssh is not installed", hint="install package openssh-client") from None
        except BaseException:
            self.close()
            raise

    def _await(self, remote: Remote) -> None:
        deadline = time.monotonic() + _LOGIN_S
        while not self.path.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._said.seek(0)
                raise UnavailableError(
                    "ssh did not log in",
                    where=f"host {remote.host}",
                    hint="does ssh log in there without a question?",
                    output=self._said.read(4000).decode(errors="replace"),
                )
            time.sleep(0.01)

    def close(self) -> None:
        """End ssh and remove the socket."""
        process = getattr(self, "_process", None)
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._held.close()
