"""Commands that are run in a container as it starts and before it is stopped (Compose specification, "post_start")."""

from __future__ import annotations

from pydantic import Field

from bayplan.models.base import Model
from bayplan.models.types import AbsolutePath, EnvName


class Hook(Model):
    """One command; it has five minutes."""

    command: tuple[str, ...] = Field(min_length=1, description="Program and arguments, found in the container.")
    user: str | None = Field(None, description="user[:group], names or numbers; the container's when unset.")
    privileged: bool = Field(False, description="With every capability that the host can give.")
    working_dir: AbsolutePath | None = Field(None, description="Directory it starts in; the container's when unset.")
    environment: dict[EnvName, str] = Field(
        default_factory=dict, description="Variables over those of the container; shown in plans."
    )
