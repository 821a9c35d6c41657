"""What a preview tells of a resource that is to be made, beside its outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayplan import errors
from bayplan.errors import BayplanError, ConflictError, DeclarationError, UnavailableError, UnsupportedError
from bayplan.pulumi.failures import RefusedError
from bayplan.pulumi.session import Session


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
    if _is_of(error, DeclarationError, UnsupportedError):
        raise RefusedError.of(error)
    if _is_of(error, ConflictError) and not session.clears:
        session.connection.warn(f"not possible on the host as it is now: {error['msg']}")


def _is_of(error: Mapping[str, Any], *types: type[BayplanError]) -> bool:
    """Whether the error that is named is one of these, or of their kinds."""
    found = getattr(errors, str(error.get("type")), None)
    return isinstance(found, type) and issubclass(found, types)
