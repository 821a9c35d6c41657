"""Generated files are committed: written by their program, or compared by it with ``--check``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent


def write(generated: Mapping[Path, str], program: str) -> int:
    """Write what differs; with ``--check`` among the arguments write nothing and give 1 when something does."""
    check = "--check" in sys.argv[1:]
    drifted = {path: text for path, text in generated.items() if not path.is_file() or path.read_text() != text}
    for path, text in () if check else drifted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if check and drifted:
        named = ", ".join(str(path.relative_to(TOP)) for path in drifted)
        print(f"out of date: {named} (run tools/{program}.py)", file=sys.stderr)
    return 1 if check and drifted else 0
