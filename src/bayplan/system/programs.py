"""Programs of this host, and the libraries that they are loaded with."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from bayplan.errors import RuntimeFailureError

_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x[0-9a-f]+\)$")
_STATIC = ("statically linked", "not a dynamic executable")


def libraries(program: Path) -> tuple[Path, ...]:
    """Loader and libraries by the paths at which they are looked for (ldd(1)); none of a static one.

    The program must be one that may be trusted: ldd may run it. Raises RuntimeFailureError.
    """
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=False, env={"LC_ALL": "C"})
    said = done.stdout + done.stderr
    if any(word in said for word in _STATIC):
        return ()
    lines = [line.strip() for line in done.stdout.splitlines()]
    lacking = next((line for line in lines if line.endswith("not found")), "")
    if done.returncode != 0 or lacking:
        raise RuntimeFailureError(f"its libraries are not known: {lacking or said.strip()}", where=str(program))
    return tuple(Path(found[1]) for line in lines if (found := _LIBRARY.search(line)))
