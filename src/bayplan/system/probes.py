"""What is read in ways that Python says nothing of, for those who note what was read (PEP 578, audit events)."""

from __future__ import annotations

import sys
from pathlib import Path

PROBE = "bayplan.probe"
"""The event of a look whether a file is there; its argument is the path."""
ANSWER = "bayplan.answer"
"""The event of an engine's answer; its arguments are what was asked with GET (path and query), and the content."""


def probe(path: Path | str) -> Path:
    """The path. Opening a file is heard anyway; looking whether there is one is not."""
    sys.audit(PROBE, str(path))
    return Path(path)
