"""AppArmor: the profile a container runs under; ours is loaded where the kernel has AppArmor (apparmor.d(5)).

It is a second wall behind capabilities, hidden paths and the filter of system calls: a container mounts nothing, writes
to no setting of the kernel that is not its own, and neither traces nor signals what does not run under it.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from bayplan.errors import RuntimeFailureError

NAME = "bayplan-default-1"
"""Its number counts up with each change of the text: containers that run keep the one that they began with."""
_SWITCH = Path("/sys/module/apparmor/parameters/enabled")
_LOADED = Path("/sys/kernel/security/apparmor/profiles")
_PARSER = "apparmor_parser"
_PATHS = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
_LOAD_S = 60

_TEXT = f"""\
profile {NAME} flags=(attach_disconnected,mediate_deleted) {{
  file,
  network,
  capability,

  deny mount,
  deny umount,
  deny remount,
  deny pivot_root,

  # Settings of the kernel and of the host's hardware. Below /proc/sys those of its own namespaces are left out.
  deny /proc/{{kcore,kmem,mem,sysrq-trigger}} rwklx,
  deny /proc/sys/{{debug,dev,fs,user,vm}}/** wkl,
  deny /proc/sys/kernel/[^sm]* wkl,
  deny /proc/sys/kernel/s[^eh]* wkl,
  deny /proc/sys/kernel/m[^s]* wkl,
  deny /sys/firmware/** rwklx,
  deny /sys/kernel/security/** rwklx,
  deny /sys/{{block,bus,class,dev,devices,kernel,module,power}}/** wkl,

  # The host ends it, by its monitor or the runtime, which a distribution may confine itself.
  signal (receive) peer=unconfined,
  signal (receive) peer={{crun,runc,conmon,bayplan}},
  signal (send, receive) peer={NAME},
  ptrace (trace, read, tracedby, readby) peer={NAME},
  unix,
}}
"""


def is_on() -> bool:
    """Whether the kernel has AppArmor, switched on."""
    try:
        return _SWITCH.read_text().strip() == "Y"
    except OSError:
        return False


def is_loaded(name: str) -> bool | None:
    """Whether the kernel has a profile; None when that cannot be told (securityfs is not mounted)."""
    try:
        lines = _LOADED.read_text().splitlines()
    except OSError:
        return None
    return any(line.rpartition(" (")[0] == name for line in lines)


def default() -> str:
    """Our profile, where it can be loaded; empty elsewhere."""
    usable = is_on() and is_loaded(NAME) is not None and (_parser() is not None or is_loaded(NAME))
    return NAME if usable else ""


def ensure(config: str) -> None:
    """See that our profile is loaded when a container's configuration (JSON text) names it: a reboot takes it away.

    Raises RuntimeFailureError with what apparmor_parser(8) says.
    """
    if f'"{NAME}"' not in config or not is_on() or is_loaded(NAME):
        return
    program = _parser()
    if program is None:
        raise RuntimeFailureError(f"{_PARSER} is not installed", hint="install package apparmor")
    done = subprocess.run(
        [program, "--replace", "--skip-cache"],
        input=_TEXT.encode(),
        capture_output=True,
        timeout=_LOAD_S,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise RuntimeFailureError(f"AppArmor profile {NAME} cannot be loaded: {said}", output=said)


def _parser() -> str | None:
    return shutil.which(_PARSER) or shutil.which(_PARSER, path=_PATHS)
