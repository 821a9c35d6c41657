"""How a swarm changes the tasks of a service, takes a change back, and starts what ended (Docker Engine API)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bayplan.models.base import Model
from bayplan.models.types import Duration


class RollbackPolicy(Model):
    """How an update is taken back. Defaults are Swarm's."""

    parallelism: int = Field(1, ge=0, description="Tasks changed at a time; 0 is all at once.")
    delay: Duration = Field(Duration(), description="Pause between one lot of tasks and the next.")
    failure_action: Literal["pause", "continue"] = Field("pause", description="What happens when tasks fail.")
    monitor: Duration = Field(
        Duration(seconds=5), description="Time after a task's start in which its end is a failure."
    )
    max_failure_ratio: float = Field(0.0, ge=0, le=1, description="Share of tasks that may fail.")
    order: Literal["stop-first", "start-first"] = Field(
        "stop-first", description="Whether the old task is stopped before or after its successor runs."
    )


class UpdatePolicy(RollbackPolicy):
    """How a change of a service reaches its tasks.

    Swarm's own default is to pause on failure; here what fails comes back to what ran before, as everywhere else.
    """

    failure_action: Literal["pause", "continue", "rollback"] = Field(  # type: ignore[assignment]
        "rollback", description="What happens when tasks of the new kind fail."
    )


class TaskRestart(Model):
    """Whether a task that ended gets a successor. Defaults are Swarm's."""

    condition: Literal["none", "on-failure", "any"] = Field("any", description="After which ends.")
    delay: Duration = Field(Duration(seconds=5), description="Pause before each.")
    max_attempts: int = Field(0, ge=0, description="Successors within the window; 0 is no limit.")
    window: Duration = Field(Duration(), description="Time in which attempts count; 0 is for ever.")
