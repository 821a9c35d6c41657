"""The verbs, each a few lines over the rooms below. The faces (CLI, bridge) parse, call these, and render."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from bayplan.app.changing import apply, command, converge, is_stopped, stop_on_signals, stopped_by
from bayplan.app.images import commit_container, mend_images, prune_builds, prune_images, remove_images, tag_image
from bayplan.app.logins import check_login, login, login_of, logout
from bayplan.app.planning import kept_plan, plan, plan_destroy, plan_part, plan_services, plan_single, save_plan
from bayplan.app.volumes import export_volume, import_volume
from bayplan.models import Settings
from bayplan.record.journal import Journal
from bayplan.runtime.protocol import Observed, Runtime, Scope, Snapshot
from bayplan.runtime.verbs import Finding

if TYPE_CHECKING:
    from bayplan.reconcile import events as happened
    from bayplan.runtime.native.resume import Resumed

__all__ = [
    "apply",
    "check_login",
    "command",
    "commit_container",
    "converge",
    "damaged",
    "events",
    "export_volume",
    "import_volume",
    "is_stopped",
    "kept_plan",
    "login",
    "login_of",
    "logout",
    "mend_images",
    "nodes",
    "plan",
    "plan_destroy",
    "plan_part",
    "plan_services",
    "plan_single",
    "prune_builds",
    "prune_images",
    "remove_images",
    "resume",
    "save_plan",
    "status",
    "stop_on_signals",
    "stopped_by",
    "tag_image",
]


def resume(runtime: Runtime) -> Sequence[Resumed]:
    """Start what a reboot ended. An engine of its own does that by itself: then nothing is left to do."""
    from bayplan.runtime.native.resume import resume as resume_native
    from bayplan.runtime.native.runtime import NativeRuntime

    return resume_native(runtime) if isinstance(runtime, NativeRuntime) else ()


def events(
    project: str, runtime: Runtime, settings: Settings, *, since: datetime | None = None, until: datetime | None = None
) -> list[happened.Event]:
    """What happened to a project's resources, oldest first."""
    from bayplan.reconcile import events as happened

    journal = Journal(settings.state_root / "record.db", to_read=True)
    try:
        return happened.events(project, runtime, journal, since=since, until=until)
    finally:
        journal.close()


def status(project: str, runtime: Runtime) -> Snapshot:
    """What a project has on the host."""
    return runtime.observe(Scope(project=project))


def nodes(runtime: Runtime) -> Sequence[Observed]:
    """The nodes of a swarm; none of another engine."""
    from bayplan.runtime.swarm.runtime import SwarmRuntime

    return list(runtime.nodes.observe(None)) if isinstance(runtime, SwarmRuntime) else ()


def damaged(runtime: Runtime) -> Sequence[Finding]:
    """What of the host's records is not there or not whole. Reads only."""
    return runtime.damaged()
