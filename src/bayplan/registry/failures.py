"""Answers of a registry as errors: which may pass by themselves, and which the user must act on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bayplan.errors import AccessDeniedError, BayplanError, NotFoundError, UnavailableError, UnsupportedError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed."""
_MAX_BODY = 64 << 10
_MAX_TEXT = 300


def failure(response: BaseHTTPResponse, what: str, host: str) -> BayplanError:
    """The error for a status that was not wanted; reads and closes the response.

    Retryable: 408, 429 and 5xx. Terminal: 401 and 403 (AccessDeniedError), 404 (NotFoundError), and every other 4xx
    with the registry's own words (OCI distribution specification, "Error Codes").
    """
    said, where = words(response), f"registry {host}"
    status = response.status
    if status in PASSING or status >= 500:
        return UnavailableError(f"{what}: the registry answered {status}{said}", where=where, hint="try again later")
    if status in (401, 403):
        return AccessDeniedError(f"{what}: access is denied{said}", where=where, hint="log in with `bayplan login`")
    if status == 404:
        return NotFoundError(f"{what}: not found{said}", where=where, hint="check the spelling of the name")
    return UnsupportedError(f"{what}: the registry refused it with {status}{said}", where=where)


def words(response: BaseHTTPResponse) -> str:
    """``: CODE message`` of an answer's body, shortened and without control characters; empty when it says nothing."""
    from urllib3.exceptions import HTTPError

    try:
        body = json.loads(response.read(_MAX_BODY))
        first = body["errors"][0]
        text = f"{first.get('code', '')} {first.get('message', '')}".strip()
    except (HTTPError, OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError):
        text = ""
    finally:
        response.close()
    text = "".join(sign for sign in text if sign.isprintable())[:_MAX_TEXT]
    return f": {text}" if text else ""
