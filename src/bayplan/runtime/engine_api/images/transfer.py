"""The JSON lines that an engine answers a pull, a push, a load or a build with: progress, messages, an error."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from bayplan.errors import AccessDeniedError, BayplanError, NotFoundError, RuntimeFailureError, UnavailableError
from bayplan.runtime.engine_api.answers import AnswerError
from bayplan.runtime.engine_api.client import told
from bayplan.runtime.protocol import Progress, Report

_DENIED = ("unauthorized", "denied", "authentication required", "no basic auth")
_MISSING = ("not found", "manifest unknown", "name unknown", "does not exist", "no such image")
_AWAY = ("no such host", "connection refused", "timeout", "deadline exceeded", "i/o", "tls", "x509", "unreachable")


def lines(chunks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Each JSON object of a stream, wherever it was cut. Raises RuntimeFailureError for what is none."""
    held = b""
    for chunk in chunks:
        *whole, held = (held + chunk).split(b"\n")
        yield from (_parsed(item) for item in whole if item.strip())
    if held.strip():
        yield _parsed(held)


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise RuntimeFailureError(f"the engine's answer is not understood: {line[:200]!r}") from error
    return found if isinstance(found, dict) else {"status": str(found)}


def checked(events: Iterable[dict[str, Any]], what: str) -> Iterator[dict[str, Any]]:
    """The events; raises the error that one of them tells: the answer's status was sent before it was known."""
    for event in events:
        if event.get("error"):
            detail = event.get("errorDetail")
            text = str(detail.get("message") if isinstance(detail, dict) else "") or str(event["error"])
            raise failure(text, what)
        yield event


def failure(text: str, what: str) -> BayplanError:
    """What an engine says of a registry or a build, as an error that says what to do."""
    lowered = text.lower()
    said = text.strip().removeprefix("Error response from daemon: ")
    if any(word in lowered for word in _DENIED):
        return AccessDeniedError(said, where=what, hint="log in to the registry: `bayplan login`")
    if any(word in lowered for word in _MISSING):
        return NotFoundError(said, where=what, hint="check its name and tag")
    if any(word in lowered for word in _AWAY):
        return UnavailableError(said, where=what, hint="is the registry reachable from the engine's host?")
    return RuntimeFailureError(said, where=what)


def progress(event: dict[str, Any], verb: str, report: Report) -> None:
    """Tell how far one layer is: a bar for each, as the native core shows them."""
    detail = event.get("progressDetail")
    if event.get("status") in ("Downloading", "Pushing") and isinstance(detail, dict) and detail.get("total"):
        done, total = int(detail.get("current") or 0), int(detail["total"])
        report(Progress(f"{verb} {event.get('id') or ''}", min(done, total), total))


@contextmanager
def told_of_registry(what: str) -> Iterator[None]:
    """Errors of a request that the engine hands on to a registry; ``what`` is the image."""
    try:
        with told(what):
            yield
    except BayplanError as error:
        if isinstance(error.__cause__, AnswerError):
            raise failure(error.what, what) from error
        raise
