"""How a swarm starts what ended (Docker Engine API)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bayplan.models.base import Model
from bayplan.models.types import Duration


class TaskRestart(Model):
    """Whether a task that ended gets a successor. Defaults are Swarm's."""

    condition: Literal["none", "on-failure", "any"] = Field("any", description="After which ends.")
    delay: Duration = Field(Duration(seconds=5), description="Pause before each.")
    max_attempts: int = Field(0, ge=0, description="Successors within the window; 0 is no limit.")
    window: Duration = Field(Duration(), description="Time in which attempts count; 0 is for ever.")
