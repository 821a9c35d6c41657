"""The key of the fingerprints by which changed secrets are seen: one for each state root."""

from __future__ import annotations

import secrets

from bayplan.models import Settings
from bayplan.system.files import create_once

_BYTES = 32


def key(settings: Settings, *, make: bool = False) -> bytes:
    """The key; empty when there is none yet and it is not to be made."""
    path = settings.state_root / "fingerprint.key"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        # Of containers that are made at the same time, each would be sealed with a key of its own.
        return create_once(path, secrets.token_bytes(_BYTES)) if make else b""
