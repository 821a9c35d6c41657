"""What of the kernel the programs in containers can notice."""

from __future__ import annotations

import os
from pathlib import Path

from bayplan.system import cgroups

_LSM = Path("/sys/kernel/security/lsm")
_VISIBLE = ("apparmor", "selinux")


def facts() -> dict[str, str]:
    """``release``, ``architecture``, ``cgroup`` (1 or 2, where the controllers are) and ``lsm``, when one is active."""
    told = os.uname()
    found = {"release": told.release, "architecture": told.machine, "cgroup": "2" if cgroups.is_unified() else "1"}
    try:
        active = _LSM.read_text().strip().split(",")
    except OSError:
        active = []
    lsm = ",".join(name for name in _VISIBLE if name in active)
    return {**found, **({"lsm": lsm} if lsm else {})}
