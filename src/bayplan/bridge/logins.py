"""Credentials for registries, kept where container tools look."""

from __future__ import annotations

from typing import Any

from bayplan import app
from bayplan.bridge.answers import differing
from bayplan.bridge.rooms import Asked


def registry_login(asked: Asked) -> dict[str, Any]:
    """Keep credentials that the registry accepts, or forget them. A check asks the registry too, and keeps nothing."""
    registry = asked.text("registry")
    kept_user = app.login_of(registry)
    if asked.options.get("state", "present") == "absent":
        if kept_user is not None and not asked.check:
            app.logout(registry)
        before = f"{registry}: credentials\n" if kept_user is not None else ""
        return differing(kept_user is not None, before, "", registry=registry)
    user, password = asked.text("username"), asked.text("password")
    changed = app.login_of(registry) != (user, password)
    if asked.check or not changed:
        app.check_login(asked.settings, registry, user, password)
    else:
        app.login(asked.settings, registry, user, password)
    before = "" if kept_user is None else f"{registry}: other credentials\n"
    return differing(changed, before, f"{registry}: credentials of {user}\n", registry=registry, username=user)
