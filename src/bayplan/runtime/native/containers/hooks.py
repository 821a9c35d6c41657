"""Commands of a container's declaration that are run in it: after its start, and before it is asked to end."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from bayplan.errors import BayplanError, RuntimeFailureError
from bayplan.models import Container, Duration, Hook
from bayplan.runtime.native.containers import lifecycle
from bayplan.runtime.native.containers.containers import Containers
from bayplan.runtime.native.containers.execute import TIMED_OUT
from bayplan.runtime.native.containers.paths import Paths
from bayplan.system import freezer

TIMEOUT = Duration(minutes=5)
"""A hook that hangs must not hold the host for ever; the specification names no limit."""
_log = logging.getLogger("bayplan.containers")


def after_start(containers: Containers, container_id: str, declared: Container) -> None:
    """Run ``post_start``. One that fails ends the container, whose restart policy decides then.

    Raises RuntimeFailureError with what the command wrote.
    """
    try:
        _run(containers, container_id, declared.post_start, "post_start")
    except BayplanError as error:
        lifecycle.kill(Paths.of(containers.settings, container_id).cgroup)
        error.where = error.where or str(declared.id)
        raise


def before_stop(containers: Containers, container_id: str) -> None:
    """Run ``pre_stop`` if it runs. One that fails is told and changes nothing: what is to end can be ended."""
    declared = containers.declared(container_id)
    if not declared.pre_stop or containers.process(container_id) is None:
        return
    if freezer.is_frozen(Paths.of(containers.settings, container_id).cgroup):
        return
    try:
        _run(containers, container_id, declared.pre_stop, "pre_stop")
    except BayplanError as error:
        _log.warning("%s: %s; it is stopped all the same", declared.id, error.what)


def _run(containers: Containers, container_id: str, hooks: Sequence[Hook], kind: str) -> None:
    for number, hook in enumerate(hooks, start=1):
        done = containers.exec(
            container_id,
            hook.command,
            user=hook.user,
            environment=hook.environment,
            working_dir=hook.working_dir,
            privileged=hook.privileged,
            timeout=TIMEOUT,
        )
        if done.exit_code:
            said = (done.stdout + done.stderr).decode(errors="replace")
            how = f"did not end within {TIMEOUT}" if done.exit_code == TIMED_OUT else f"gave exit code {done.exit_code}"
            containers.note(container_id, f"{kind} failed", f"{number}: {how}")
            raise RuntimeFailureError(f"{kind} command {number} ({hook.command[0]}) {how}", output=said)
