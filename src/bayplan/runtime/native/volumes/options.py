"""Volumes that are mounts: the options of the ``local`` driver, as Docker and Podman name them.

``type``, ``o`` and ``device`` are those of mount(8): a directory of the host (``o: bind``), a share (``type: nfs``), a
file system in memory (``type: tmpfs``). Mounted on the volume's directory when it is made, let go when it is removed.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from bayplan.errors import NotFoundError, RuntimeFailureError
from bayplan.models import Volume
from bayplan.system import mounts

_TIMEOUT_S = 60.0
"""A server that does not answer must not hold the host for ever."""


def is_bind(volume: Volume) -> bool:
    """Whether it stands for a directory of the host."""
    return bool({"bind", "rbind"} & set(volume.driver_opts.get("o", "").split(",")))


def check(volume: Volume) -> None:
    """Refuse what cannot be mounted, before any change. Raises NotFoundError."""
    device = volume.driver_opts.get("device", "")
    if is_bind(volume) and not Path(device).is_dir():
        raise NotFoundError(f"device {device} is no directory of this host", where=str(volume.id), hint="create it")


def attach(volume: Volume, data: Path) -> None:
    """Mount it on ``data``, unless that is done. Raises RuntimeFailureError with the words of mount(8)."""
    if not volume.is_mount or mounts.is_mounted(data):
        return
    options = volume.driver_opts
    argv = ["mount", "-n", "-t", options.get("type") or "none"]
    if options.get("o"):
        argv += ["-o", options["o"]]
    try:
        done = subprocess.run(
            [*argv, "--", options["device"], str(data)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeFailureError(f"volume {volume.name}: the mount took over {_TIMEOUT_S:.0f} s") from error
    if done.returncode:
        output = done.stderr.decode(errors="replace").strip()
        raise RuntimeFailureError(f"volume {volume.name} cannot be mounted: {output}", output=output)


def detach(data: Path) -> None:
    """Let go of what is mounted there; containers that have it keep theirs. Raises RuntimeFailureError if it stays.

    What is mounted is somebody's data: nothing below ``data`` may be removed while it is there.
    """
    while mounts.is_mounted(data):
        mounts.unmount(str(data), detach=True)
