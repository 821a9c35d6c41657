"""Rules that other programs keep in the kernel through iptables(8): read, never written."""

from __future__ import annotations

import subprocess

_LIMIT_S = 10


def rules(table: str) -> tuple[str, ...] | None:
    """The rules of a table (``-A CHAIN ...``) in the calling thread's network namespace; None where nobody says.

    By the command that the other program uses as well: which of the kernel's two packet filters it writes to is its.
    """
    try:
        done = subprocess.run(
            ["iptables-save", "--table", table], capture_output=True, check=False, text=True, timeout=_LIMIT_S
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    return tuple(line for line in done.stdout.splitlines() if line.startswith("-A "))
