"""The short-lived process that starts containers again, as the supervisor sees it.

Starting needs the whole core (models, netlink, nftables). Loaded for the time of a restart by another process, it
takes no memory from one that mostly sleeps; and whatever goes wrong there ends that process only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_READ_BYTES = 65536
Key = tuple[str, int | None, int | None]
"""A run of a container: its id, and pid and start time of its first process."""


@dataclass(frozen=True)
class Answer:
    """What came of one request: ``started``, ``busy`` (another change holds the host), ``moved`` or ``failed``."""

    key: Key
    result: str
    message: str = ""


class Helper:
    """Runs while there are requests; the owner watches ``output_fd``."""

    def __init__(self, settings_file: Path) -> None:
        argv = [sys.executable, "-P", "-m", f"{__package__}.restart", str(settings_file)]
        self._child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, cwd="/")
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._stdin, self._stdout = self._child.stdin, self._child.stdout
        self.output_fd = self._stdout.fileno()
        os.set_blocking(self.output_fd, False)
        os.set_blocking(self._stdin.fileno(), False)
        self._partial = b""
        self.asked: set[Key] = set()

    def ask(self, key: Key) -> bool:
        """Ask for a restart of the container that ended as this run. False when it takes no more requests now."""
        try:
            # Whole or not at all (pipe(7), PIPE_BUF); a pipe that is full is told by None.
            if self._stdin.write(json.dumps(key).encode() + b"\n") is None:
                return False
        except OSError:  # it has just ended
            return False
        self.asked.add(key)
        return True

    def answers(self) -> list[Answer] | None:
        """The answers that have come; None when it has ended."""
        try:
            piece = os.read(self.output_fd, _READ_BYTES)
        except BlockingIOError:
            return []
        if not piece:
            return None
        *lines, self._partial = (self._partial + piece).split(b"\n")
        found = []
        for line in lines:
            values: dict[str, Any] = json.loads(line)
            key: Key = tuple(values["key"])
            found.append(Answer(key, values["result"], values.get("message", "")))
            self.asked.discard(key)
        return found

    def close(self) -> None:
        """Let it end after what it is doing, and wait for that: a restart is never cut in half."""
        self._stdin.close()
        self._child.wait()
        self._stdout.close()
