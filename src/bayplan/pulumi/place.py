"""Where an engine is, and the command that begins a bridge to it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan.system.ssh import Remote


@dataclass(frozen=True)
class Place:
    """Where the engine is, and how it is begun there."""

    remote: Remote | None = None
    command: str = ""
    ssh_options: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    credentials: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    connect_timeout_s: float = 60.0
    timeout_s: float = 900.0
    """Longest wait for what neither pulls nor builds nor waits for a container."""
    lock_timeout: str = "5m"

    @property
    def name(self) -> str:
        """For messages."""
        return f"host {self.remote.host}" if self.remote else "this host"

    @property
    def argv(self) -> list[str]:
        """The bridge as a command of this host."""
        if self.remote is None:
            own = shlex.split(self.command) if self.command else [sys.executable, "-m", "bayplan.bridge"]
            return [*own, "--serve"]
        # A host that went away is noticed; without it a request would wait for as long as TCP does.
        alive = ("-o", "ServerAliveInterval=15", "-o", f"ConnectTimeout={max(1, round(self.connect_timeout_s))}")
        own = [part for option in self.ssh_options for part in ("-o", option)]
        return self.remote.command(f"{self.command or 'bayplan bridge'} --serve", options=(*own, *alive))
