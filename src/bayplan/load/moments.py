"""Times as people write them."""

from __future__ import annotations

from datetime import UTC, datetime

from bayplan.errors import DeclarationError
from bayplan.models import Duration


def moment(text: str | None, option: str) -> datetime | None:
    """A time: RFC 3339, seconds since 1970, or a duration that counts back from now. Raises DeclarationError."""
    if not text:
        return None
    try:
        return datetime.now(UTC) - Duration.parse(text)
    except ValueError:
        pass
    try:
        found = datetime.fromtimestamp(float(text), UTC) if _is_number(text) else datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError) as error:
        raise DeclarationError(
            f"{option} {text!r} is no time", hint="write 2025-01-31T12:00:00Z, seconds since 1970, or 10m"
        ) from error
    return found.astimezone()


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()
