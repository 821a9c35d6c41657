"""Graphviz, called as the program ``dot`` (docs/decisions/0014-drawings.md)."""

from __future__ import annotations

import shutil
import subprocess

from bayplan.errors import RuntimeFailureError, UnsupportedError

_TIMEOUT_S = 120


def draw(source: str, form: str) -> bytes:
    """A drawing of a text in the DOT language, as ``svg`` or ``png``.

    Raises UnsupportedError naming the package when the program is not here, RuntimeFailureError with what it said.
    """
    program = shutil.which("dot")
    if program is None:
        raise UnsupportedError("drawings need the program dot", hint="install the package graphviz")
    try:
        done = subprocess.run(
            [program, f"-T{form}"], input=source.encode(), capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeFailureError(f"dot did not end within {_TIMEOUT_S} s") from error
    if done.returncode != 0 or not done.stdout:
        said = done.stderr.decode(errors="replace")
        raise RuntimeFailureError("dot could not draw this", output=said)
    return done.stdout
