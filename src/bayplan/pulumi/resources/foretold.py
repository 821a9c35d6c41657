"""What a preview tells of a resource that is to be made, beside its outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayplan.errors import ConflictError, DeclarationError, UnavailableError, UnsupportedError
from bayplan.pulumi.failures import RefusedError
from bayplan.pulumi.session import Session

_NEVER = frozenset((DeclarationError.__name__, UnsupportedError.__name__))


def tell(session: Session, wanted: Mapping[str, Any]) -> None:
    """Raise RefusedError for what can never be on the host; warn of what is in the way there now.

    That may have gone when it is made, so nothing is said where the program has something deleted first, nor ever of
    what is not there. A host that cannot be reached may be one that the program makes: it is not asked again.
    ``wanted`` is a question of ``bayplan.bridge.suiting``.
    """
    if session.is_away:
        return
    try:
        error = session.ask("suits", wanted, check=True)["error"] or {}
    except UnavailableError:
        session.is_away = True
        return
    except RefusedError:
        return
    if error.get("type") in _NEVER:
        raise RefusedError.of(error)
    if error.get("type") == ConflictError.__name__ and not session.clears:
        session.connection.warn(f"not possible on the host as it is now: {error['msg']}")
