"""What a container is doing, from its inspection."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bayplan.runtime.protocol import Health, State, Status

_STATES = {
    "created": State.CREATED,
    "configured": State.CREATED,  # Podman
    "initialized": State.CREATED,  # Podman
    "running": State.RUNNING,
    "stopping": State.RUNNING,  # Podman
    "paused": State.PAUSED,
    "restarting": State.RESTARTING,
    "exited": State.EXITED,
    "stopped": State.EXITED,  # Podman
    "removing": State.INCOMPLETE,
    "dead": State.INCOMPLETE,
}
_HEALTH = {verdict.value: verdict for verdict in Health}
_NEVER = "0001-01-01"


def status_of(found: Mapping[str, Any], stopped_at: str = "") -> Status:
    """``stopped_at``: when we stopped it the last time (ISO 8601), empty for never."""
    said = found.get("State") or {}
    state = _STATES.get(str(said.get("Status", "")).lower(), State.DEFECT)
    ended = state in (State.EXITED, State.RESTARTING)
    health = str((said.get("Health") or said.get("Healthcheck") or {}).get("Status") or "none")
    started, finished = moment(said.get("StartedAt")), moment(said.get("FinishedAt"))
    places = (found.get("NetworkSettings") or {}).get("Networks") or {}
    on_request = ended and bool(stopped_at) and (started is None or datetime.fromisoformat(stopped_at) >= started)
    return Status(
        state=state,
        health=_HEALTH.get(health, Health.NONE) if state is State.RUNNING else Health.NONE,
        pid=said.get("Pid") or None,
        exit_code=said.get("ExitCode") if ended else None,
        oom_killed=bool(said.get("OOMKilled")),
        on_request=on_request,
        started_at=started,
        finished_at=finished,
        restarts=found.get("RestartCount") or 0,
        addresses={name: one["IPAddress"] for name, one in places.items() if one and one.get("IPAddress")},
        addresses_v6={
            name: one["GlobalIPv6Address"] for name, one in places.items() if one and one.get("GlobalIPv6Address")
        },
        ports=ports_of(found),
    )


def ports_of(found: Mapping[str, Any]) -> tuple[str, ...]:
    """Published ports as they are: ``ADDRESS:PORT->TARGET/PROTOCOL``."""
    ports = (found.get("NetworkSettings") or {}).get("Ports") or {}
    return tuple(
        f"{_address(bound.get('HostIp') or '0.0.0.0')}:{bound['HostPort']}->{name}"  # noqa: S104 - shown, not bound
        for name, bindings in sorted(ports.items())
        for bound in bindings or ()
    )


def _address(text: str) -> str:
    return f"[{text}]" if ":" in text else text


def moment(text: str | None) -> datetime | None:
    """A time of the API (RFC 3339, nanoseconds); None for its zero."""
    if not text or text.startswith(_NEVER):
        return None
    return datetime.fromisoformat(text[:19] + "+00:00" if text.endswith("Z") and "." not in text else _to_micro(text))


def _to_micro(text: str) -> str:
    """Nanoseconds cut to what datetime keeps; the zone stays."""
    head, dot, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    zone = rest[len(digits) :].replace("Z", "+00:00") or "+00:00"
    return f"{head}.{digits[:6].ljust(6, '0')}{zone}" if dot else text.replace("Z", "+00:00")
