"""``post_start`` and ``pre_stop``: run by us with our own starts and stops; an engine's own restart runs none."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from bayplan.errors import BayplanError, RuntimeFailureError
from bayplan.models import Container, Duration, Hook
from bayplan.runtime.protocol import ExecResult

TIMEOUT = Duration(minutes=5)
"""A hook that hangs must not hold the host for ever; the specification names no limit."""
_TIMED_OUT = 124
_log = logging.getLogger("bayplan.containers")
Exec = Callable[..., ExecResult]
"""``Runtime.exec``."""


def after_start(container: Container, run: Exec, kill: Callable[[str], None]) -> None:
    """Run ``post_start``. One that fails ends the container. Raises RuntimeFailureError with what it wrote."""
    try:
        _run(container, container.post_start, "post_start", run)
    except BayplanError as error:
        kill(container.name)
        error.where = error.where or str(container.id)
        raise


def before_stop(container: Container, run: Exec) -> None:
    """Run ``pre_stop`` of one that runs. One that fails is told and changes nothing."""
    try:
        _run(container, container.pre_stop, "pre_stop", run)
    except BayplanError as error:
        _log.warning("%s: %s; it is stopped all the same", container.id, error.what)


def _run(container: Container, hooks: Sequence[Hook], kind: str, run: Exec) -> None:
    for number, hook in enumerate(hooks, start=1):
        done = run(
            container.name,
            hook.command,
            user=hook.user,
            environment=hook.environment,
            working_dir=hook.working_dir,
            privileged=hook.privileged,
            timeout=TIMEOUT,
        )
        if done.exit_code:
            said = (done.stdout + done.stderr).decode(errors="replace")
            late = done.exit_code == _TIMED_OUT
            how = f"did not end within {TIMEOUT}" if late else f"gave exit code {done.exit_code}"
            raise RuntimeFailureError(f"{kind} command {number} ({hook.command[0]}) {how}", output=said)
