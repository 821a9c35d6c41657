"""Credentials of registries."""

from __future__ import annotations

from bayplan.models import Settings


def login(settings: Settings, registry: str, user: str, password: str) -> str:
    """Keep credentials that the registry accepts; returns where."""
    from bayplan.registry import login as room

    return room.login(settings, registry, user, password)


def check_login(settings: Settings, registry: str, user: str, password: str) -> None:
    """Ask a registry whether it accepts credentials, and keep nothing. Raises AccessDeniedError, UnavailableError."""
    from bayplan.registry import login as room

    room.check(settings, registry, user, password)


def login_of(registry: str) -> tuple[str, str] | None:
    """User and password that are kept for a registry."""
    from bayplan.registry import login as room

    return room.kept(registry)


def logout(registry: str) -> bool:
    """Forget credentials; whether there were some."""
    from bayplan.registry import login as room

    return room.logout(registry)
