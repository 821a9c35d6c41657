"""How a change of several alike reaches them one lot after the other, and what happens when it fails.

Compose specification, "deploy", ``update_config`` and ``rollback_config``; Docker Engine API, "ServiceSpec".
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bayplan.models.base import Model
from bayplan.models.types import Duration


class RollbackPolicy(Model):
    """How a change is taken back. Defaults are Swarm's."""

    parallelism: int = Field(1, ge=0, description="Tasks or containers changed at a time; 0 is all at once.")
    delay: Duration = Field(Duration(), description="Pause between one lot and the next.")
    failure_action: Literal["pause", "continue"] = Field("pause", description="What happens when some fail.")
    monitor: Duration = Field(
        Duration(seconds=5), description="Time after a start in which an end, or turning unhealthy, is a failure."
    )
    max_failure_ratio: float = Field(0.0, ge=0, le=1, description="Share that may fail.")
    order: Literal["stop-first", "start-first"] = Field(
        "stop-first", description="Whether the old one is stopped before or after its successor runs."
    )


class UpdatePolicy(RollbackPolicy):
    """How a change of a service reaches its tasks.

    Swarm's own default is to pause on failure; here what fails comes back to what ran before, as everywhere else.
    """

    failure_action: Literal["pause", "continue", "rollback"] = Field(  # type: ignore[assignment]
        "rollback", description="What happens when those of the new kind fail."
    )


class UpdateConfig(UpdatePolicy):
    """How the containers of a service are replaced on one host; only changes of what is there are meant.

    A container that fails comes back by itself. ``pause`` begins no other: what becomes of the stack is said with the
    apply (``on_failure``). ``continue`` goes on to the others, ``rollback`` takes back those that were replaced.
    """

    failure_action: Literal["pause", "continue", "rollback"] = Field(
        "pause",
        description="What happens when a successor fails: V(pause) ends the apply there, V(continue) goes on,"
        " V(rollback) takes the service back to what ran before.",
    )
    rollback: RollbackPolicy | None = Field(None, description="How it is taken back; as it was changed when unset.")
