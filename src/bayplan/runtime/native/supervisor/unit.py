"""The supervisor as a service of systemd, on hosts that systemd runs: it is then started again when it fails.

A transient unit by systemd-run(1): nothing is installed, and it is gone with the process. Elsewhere, and when systemd
refuses, the process is started as any other. ``text`` is the same as a unit file, for those who want to keep one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from bayplan.runtime.native.supervisor.place import Files, Roots

BOOTED = Path("/run/systemd/system")
"""There exactly where systemd is the init (sd_booted(3))."""
AS_UNIT = "BAYPLAN_SUPERVISOR_UNIT"
"""Variable that tells the process that it is one: systemd knows it by its pid and its group."""
_TIMEOUT_S = 30.0
_SETTINGS: Mapping[str, str] = {
    "Type": "exec",
    "Restart": "on-failure",
    "RestartSec": "1s",
    # Containers and their monitors have groups of their own, and do not end with it.
    "KillMode": "process",
    # No OOMScoreAdjust: health checks and the containers that are started again would inherit it (proc(5)).
}


def is_for_systemd() -> bool:
    """Whether systemd is this host's init and takes transient units."""
    return BOOTED.is_dir() and shutil.which("systemd-run") is not None


def name(roots: Roots) -> str:
    """One unit for each core."""
    return f"bayplan-supervisor-{hashlib.sha256(str(roots.run_root).encode()).hexdigest()[:8]}.service"


def command(roots: Roots) -> list[str]:
    """The process's own argv. No descriptor to report on: who waits looks at the holder file."""
    return [sys.executable, "-P", "-m", "bayplan.runtime.native.supervisor", str(Files.of(roots).settings), "-1"]


def transient(roots: Roots, variables: Mapping[str, str]) -> list[str]:
    """The argv that has systemd start it."""
    files = Files.of(roots)
    settings = {**_SETTINGS, "StandardOutput": f"append:{files.log}", "StandardError": f"append:{files.log}"}
    return [
        "systemd-run",
        "--quiet",
        "--collect",
        f"--unit={name(roots)}",
        f"--description=Bayplan's supervisor of {roots.state_root}",
        *(f"--property={key}={value}" for key, value in settings.items()),
        *(f"--setenv={key}={value}" for key, value in {**variables, AS_UNIT: "1"}.items()),
        *command(roots),
    ]


def start(roots: Roots, variables: Mapping[str, str]) -> bool:
    """Have systemd start it. False when it does not: then it is started without."""
    try:
        done = subprocess.run(
            transient(roots, variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_TIMEOUT_S,
            cwd="/",
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def text(roots: Roots) -> str:
    """A unit file (systemd.service(5))."""
    files = Files.of(roots)
    lines = [f"{key}={value}" for key, value in _SETTINGS.items()]
    return "\n".join(
        [
            "[Unit]",
            f"Description=Bayplan's supervisor of {roots.state_root}",
            "Documentation=man:systemd.service(5)",
            "After=local-fs.target",
            f"ConditionPathExists={files.settings}",
            "",
            "[Service]",
            *lines,
            f"Environment={AS_UNIT}=1",
            f"StandardOutput=append:{files.log}",
            f"StandardError=append:{files.log}",
            f"ExecStart={' '.join(command(roots))}",
            "",
            "[Install]",
            "WantedBy=multi-user.target",
            "",
        ]
    )


def runs_as_unit() -> bool:
    """Whether this process was started so."""
    return os.environ.get(AS_UNIT) == "1"
