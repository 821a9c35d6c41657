# Copyright: the Bayplan contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the command runs for plugins that have no connection of Ansible's: this machine, or another by OpenSSH."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO

from ansible.errors import AnsibleConnectionFailure

_HOST = re.compile(
    r"^(?:ssh://)?(?P<name>(?:[^@/\s]+@)?(?:\[[0-9A-Fa-f:.]+\]|[^-:@/\s][^:@/\s]*))(?::(?P<port>\d+))?/?$"
)
# One login for many commands; the socket's name is a hash, short enough for any home.
_SSH = (
    *("-o", "BatchMode=yes", "-o", "ControlMaster=auto", "-o", "ControlPersist=60s"),
    *("-o", "ControlPath=~/.ssh/bayplan-%C"),
)
# The environment comes on standard input, byte by byte so that nothing of what follows is taken with it.
_WITH_ENVIRONMENT = 'eval "$(dd bs=1 count={count} 2>/dev/null)"; exec "$@"'


class Place:
    """``host`` is C([user@]host[:port]), C(ssh://) before it or not; empty for this machine.

    Raises AnsibleConnectionFailure for what is no host.
    """

    def __init__(self, host: str = "", ssh_args: Sequence[str] = ()) -> None:
        self.host, self._ssh = host, []
        if not host or host == "local":
            self.host = ""
            return
        found = _HOST.match(host)
        if not found:
            raise AnsibleConnectionFailure(
                f"{host!r} is no host: write [user@]host[:port], or ssh://[user@]host[:port]"
            )
        port = ["-p", found["port"]] if found["port"] else []
        self._ssh = ["ssh", *_SSH, *ssh_args, *port, "--", found["name"].replace("[", "").replace("]", "")]

    def start(self, argv: Sequence[str], environment: Mapping[str, str], **streams: IO[bytes] | int) -> Started:
        """Start a command; values of ``environment`` are in no argument list. Raises AnsibleConnectionFailure."""
        first = b""
        if self._ssh:
            if environment:
                lines = [f"export {name}={shlex.quote(value)}\n" for name, value in environment.items()]
                first = "".join(lines).encode()
                argv = ["sh", "-c", _WITH_ENVIRONMENT.format(count=len(first)), "sh", *argv]
            argv = [*self._ssh, f"cd / && {shlex.join(argv)}"]
        try:
            # Away from the working directory: a Compose file there would say which project is meant.
            process = subprocess.Popen(
                argv,
                cwd="/",
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=streams.get("stdout", subprocess.PIPE),
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            raise AnsibleConnectionFailure(
                f"cannot run {argv[0]}: {error.strerror}; name the command with the option bayplan_command"
            ) from error
        return Started(process, first)


class Started:
    """A command that runs; ``first`` goes to its standard input before anything else."""

    def __init__(self, process: subprocess.Popen[bytes], first: bytes) -> None:
        self.process = process
        if first:
            self.write(first)

    def write(self, data: bytes) -> None:
        """Write to its standard input; one that has ended tells why by its exit code."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(data)
            self.process.stdin.flush()
        except BrokenPipeError:
            pass

    def end(self, data: bytes = b"", timeout_s: float | None = None) -> tuple[int, bytes, bytes]:
        """Exit code, output and errors, given the rest of its input. Raises AnsibleConnectionFailure after the time."""
        try:
            out, err = self.process.communicate(data, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise AnsibleConnectionFailure(f"no end after {timeout_s:g} s") from None  # it would show the arguments
        return self.process.returncode, out or b"", err or b""


def variables(settings: Mapping[str, object], **more: str | None) -> dict[str, str]:
    """Settings as the variables by which the command takes them."""
    given = {**settings, **{name: value for name, value in more.items() if value}}
    joined = {
        name: ":".join(map(str, value)) if isinstance(value, list) else str(value) for name, value in given.items()
    }
    return {f"BAYPLAN_{name.upper()}": value for name, value in joined.items()}
