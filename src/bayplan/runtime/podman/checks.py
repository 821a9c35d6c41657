"""Health checks where Podman has nobody to run them: it leaves them to timers of systemd."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bayplan.runtime.engine_api.answers import AnswerError
from bayplan.runtime.engine_api.client import EngineClient

_SYSTEMD = Path("/run/systemd/system")
_USUAL_S = 30.0
_NANO = 10**9


class Checks:
    """The checks of one container while somebody waits for their verdict; called often, it runs one when it is time."""

    def __init__(self, client: EngineClient, found: Mapping[str, Any]) -> None:
        self._client, self._id = client, str(found["Id"])
        check = (found.get("Config") or {}).get("Healthcheck") or {}
        self._period_s = int(check.get("Interval") or 0) / _NANO or _USUAL_S
        self._next = time.monotonic() + self._period_s
        self._timed = client.is_local and _SYSTEMD.is_dir()

    def __call__(self) -> None:
        """Run the check if its time has come, and nobody else does."""
        if self._timed or time.monotonic() < self._next:
            return
        with suppress(AnswerError):  # it ended meanwhile, which whoever waits sees
            self._client.libpod("GET", f"/containers/{self._id}/healthcheck")
        self._next = time.monotonic() + self._period_s
