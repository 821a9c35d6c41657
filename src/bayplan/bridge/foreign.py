"""Options of community.docker's docker_container that have no place here: each is answered with what to do instead.

A value that asks for what happens anyway is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayplan.errors import DeclarationError

LIMITS: Mapping[str, str] = {
    "memory": "memory",
    "memory_reservation": "memory_reservation",
    "memory_swap": "memory_swap",
    "memory_swappiness": "memory_swappiness",
    "oom_killer": "oom_kill_disable",
    "cpus": "cpus",
    "cpu_period": "cpu_period",
    "cpu_quota": "cpu_quota",
    "cpu_shares": "cpu_shares",
    "cpuset_cpus": "cpuset",
    "cpuset_mems": "cpuset_mems",
    "pids_limit": "pids",
}
"""Docker's names of limits to fields of ``resources``."""
RATES: Mapping[str, str] = {
    "device_read_bps": "read_bps",
    "device_write_bps": "write_bps",
    "device_read_iops": "read_iops",
    "device_write_iops": "write_iops",
}
"""The same for fields of ``resources.blkio``."""
ANY = object()
FOREIGN: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "auto_remove": ((False,), "use detach: false with cleanup: true, or state: absent"),
    "command_handling": (("correct",), "a list is taken as it is, a string is split into words"),
    "container_default_behavior": (("no_defaults", "compatibility"), "an option that is not given is at its default"),
    "device_requests": ((), "use cdi_devices, such as nvidia.com/gpu=all"),
    "force_kill": ((False,), "use stop_grace_period: 0s"),
    "image_comparison": (("desired-image",), "images are compared by digest; see comparisons"),
    "image_label_mismatch": (("ignore",), "labels of the image are the image's, and are not compared"),
    "image_name_mismatch": (("recreate",), "use comparisons: {image: ignore}"),
    "keep_volumes": ((True,), "volumes are removed by the module volume alone"),
    "kernel_memory": ((), "no kernel has this limit any more; use memory"),
    "kill_signal": ((), "use stop_signal"),
    "links": ((), "containers on one network find each other by name; use networks with aliases"),
    "networks_cli_compatible": ((True,), "networks are exactly those that are given"),
    "output_logs": ((True, False), ""),
    "pull_check_mode_behavior": ((ANY,), ""),
    "removal_wait_timeout": ((ANY,), ""),
    "volume_driver": ((), "make the volume by the module volume, with driver_opts"),
}
"""Option to the values that are taken, and what to do instead of others."""


def refuse_foreign(values: dict[str, Any], where: str) -> None:
    """Take foreign options out of ``values``. Raises DeclarationError for one that asks for something else."""
    for option in [name for name in values if name in FOREIGN]:
        taken, instead = FOREIGN[option]
        value = values.pop(option)
        nothing = value in ("", [], {})
        if value not in taken and ANY not in taken and not nothing:
            raise DeclarationError(f"{option}: {value} of docker_container is not taken here: {instead}", where=where)
