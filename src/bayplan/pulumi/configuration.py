"""Configuration of the provider: which host, which engine there, and how it is reached.

Nothing has a default here: what is not given is the host's own setting (/etc/bayplan/config.toml there), and
environment variables are looked at when the provider is configured, never kept in state.
"""

from __future__ import annotations

from typing import Annotated, Any, Optional

from pydantic import Field, create_model

from bayplan.models import Duration, Settings
from bayplan.models.base import SENSITIVE, Model
from bayplan.pulumi.given import Registry


class Reached(Model):
    """How a host is reached."""

    host: str | None = Field(
        None,
        description="local, or ssh://[user@]host[:port], with the user's OpenSSH configuration; BAYPLAN_HOST when"
        " unset, else local. It is not connected to before a resource needs it.",
    )
    remote_command: str | None = Field(
        None, description="What runs the bridge on a host by SSH; bayplan bridge when unset."
    )
    ssh_options: tuple[str, ...] | None = Field(
        None, description="Options of ssh_config(5) for it, each NAME=VALUE, over those of the user's configuration."
    )
    registries: Annotated[tuple[Registry, ...] | None, SENSITIVE] = Field(
        None, description="Credentials for registries, over those that the host keeps."
    )
    connect_timeout: Duration | None = Field(
        None, description="Longest wait for a host by SSH to let us in; 60s when unset."
    )
    timeout: Duration | None = Field(
        None, description="Longest wait for one operation of a host, pulls and builds aside; 15m when unset."
    )
    lock_timeout: Duration | None = Field(
        None, description="Longest wait for another change of the host to end; 5m when unset."
    )


def _setting(name: str) -> tuple[Any, Any]:
    """A setting of the engine, without its default."""
    info = Settings.model_fields[name]
    text = f"{info.description} The host's own setting when unset."
    kind = Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
    return Optional[kind], Field(None, description=text)  # noqa: UP045 - made of a value


Configuration = create_model(
    "Configuration",
    __base__=Reached,
    __doc__="Everything that a provider can be given.",
    **{name: _setting(name) for name in Settings.model_fields},  # type: ignore[call-overload]
)
