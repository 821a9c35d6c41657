"""The container's first process."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bayplan.errors import UnsupportedError
from bayplan.models import Container
from bayplan.runtime.native.containers.spec import isolation
from bayplan.runtime.native.containers.users import User

INIT = "/dev/init"
"""Where the small init stands inside: in the container's own /dev, so that it leaves nothing in its layer."""
DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_INITS = ("catatonit", "/usr/libexec/podman/catatonit", "tini-static", "docker-init")


def process_environment(container: Container, image: Sequence[str], user: User) -> tuple[str, ...]:
    """The image's variables, the declared ones over them, and PATH and HOME when neither gives them.

    With a terminal, TERM is xterm unless one of them says otherwise.
    """
    term = ("TERM=xterm",) if container.tty else ()
    merged = dict(entry.partition("=")[::2] for entry in (DEFAULT_PATH, f"HOME={user.home}", *term, *image))
    merged.update(container.environment)
    return tuple(f"{key}={value}" for key, value in merged.items())


def init_program() -> Path:
    """A small init of the host that needs no library of the image. Raises UnsupportedError when there is none.

    All of them are linked statically and take ``-- PROGRAM ARGUMENTS``; Debian's ``tini`` itself is not.
    """
    found = next((path for name in _INITS if (path := shutil.which(name))), None)
    if found is None:
        raise UnsupportedError("init: no small init is installed", hint="install package catatonit or tini")
    return Path(found).resolve()


def section(  # noqa: PLR0917 - the parts in the order of the specification
    container: Container,
    arguments: Sequence[str],
    environment: Sequence[str],
    working_dir: str,
    user: User,
    held: frozenset[str],
) -> dict[str, Any]:
    """``process`` (config.md, "Process")."""
    names = sorted(f"CAP_{name}" for name in held)
    # A process that is not root holds nothing until it execs a file that gives it something (capabilities(7)).
    effective = names if user.uid == 0 else []
    found: dict[str, Any] = {
        "terminal": container.tty,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)},
        "args": [INIT, "--", *arguments] if container.init else list(arguments),
        "env": list(environment),
        "cwd": working_dir,
        "capabilities": {
            "bounding": names,
            "effective": effective,
            "permitted": effective,
            "inheritable": [],
            "ambient": [],
        },
        "rlimits": rlimits(container),
        "noNewPrivileges": isolation.no_new_privileges(container),
    }
    if container.oom_score_adj is not None:
        found["oomScoreAdj"] = container.oom_score_adj
    if profile := isolation.apparmor_profile(container):
        found["apparmorProfile"] = profile
    return found


def rlimits(container: Container) -> list[dict[str, Any]]:
    """Declared limits, held to our own hard limit: without CAP_SYS_RESOURCE none can be raised (setrlimit(2))."""
    found = []
    for name, wanted in sorted(container.ulimits.items()):
        number = getattr(resource, f"RLIMIT_{name.upper()}", None)
        ceiling = resource.getrlimit(number)[1] if number is not None else resource.RLIM_INFINITY
        soft, hard = (_capped(value, ceiling) for value in (wanted.soft, wanted.hard))
        found.append({"type": f"RLIMIT_{name.upper()}", "soft": min(soft, hard), "hard": hard})
    return found


def _capped(value: int, ceiling: int) -> int:
    unlimited = 2**64 - 1
    top = unlimited if ceiling == resource.RLIM_INFINITY else ceiling
    return top if value < 0 else min(value, top)
