"""One request, one response. What Ansible modules (and programs in other languages) speak.

Request: ``verb`` (plan, apply, destroy, info, report), ``settings``, ``stack`` or ``resources`` and ``absent``,
``check``, ``options`` (``state: stopped`` for containers; ``text``: the plan as a terminal shows it too; ``volumes``
and ``images`` for destroy; for the apply of a stack ``on_failure``: rollback or keep, and what ``bridge.of_stack``
reads), ``collection`` (its version).
Other verbs take ``options`` alone, and answer with more fields of their own (``bridge.rooms``).
``telling`` lets another request hear how far this one is (``bridge.telling``).
``image_receive`` is another request, with its own answers (``bridge.images``). ``bridge --serve`` answers many requests
(``bridge.serving``), ``--stay`` leaves one for requests of the same asker (``bridge.staying``).
Response: ``changed``, ``plan``, ``diff`` (before, after), ``warnings``, ``result`` (``done``, ``failed``, ``skipped``,
``rolled_back`` where that was done; null when nothing was to be done), and of ``report`` a ``report`` (docs/parity.md);
or ``failed`` with ``msg``, ``type`` (of ``bayplan.errors``), ``where``, ``hint`` and ``output``, and the former as well
when a step of an apply failed.
Values that may be secret are masked by the engine.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from bayplan import __version__, engines
from bayplan.bridge import images, telling
from bayplan.bridge.answers import failure
from bayplan.bridge.handling import handle
from bayplan.bridge.rooms import ROOMS, Opener
from bayplan.errors import BayplanError, DeclarationError, RuntimeFailureError, UnsupportedError, unforeseen

VERBS = ("plan", "apply", "destroy", "info", "report", *ROOMS)


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def run(arguments: Sequence[str]) -> int:
    """Answer one request on the standard streams, or with ``--serve`` as many as come.

    ``--stay SOCKET SECONDS`` leaves a process that will answer the next ones.
    """
    if list(arguments) == ["--serve"]:
        from bayplan.bridge.serving import main as serve

        return serve()
    if list(arguments[:1]) == ["--stay"]:
        from bayplan.bridge.staying import answer_and_stay

        return answer_and_stay(lambda: main(sys.stdin, sys.stdout), Path(arguments[1]), float(arguments[2]))
    return main(sys.stdin, sys.stdout)


def main(stdin: TextIO, stdout: TextIO) -> int:
    """Answer one request. Always writes one JSON object; the exit code is 0 when it could be written."""
    source = getattr(stdin, "buffer", None)
    with redirect_stdout(sys.stderr):
        if source is None:
            response = respond(stdin.read())
        else:
            line = source.readline()
            request = _streamed(line)
            # What follows the request of an image are its blobs, not text.
            if request is not None:
                response = _received(request, source, stdout.buffer)
            else:
                response = respond((line + source.read()).decode(errors="surrogateescape"))
    stdout.write(json.dumps(response) + "\n")
    stdout.flush()
    return 0


def _streamed(line: bytes) -> dict[str, Any] | None:
    if images.VERB.encode() not in line:
        return None
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return request if isinstance(request, dict) and request.get("verb") == images.VERB else None


def _received(request: Mapping[str, Any], stdin: BinaryIO, stdout: BinaryIO) -> dict[str, Any]:
    try:
        settings = engines.load_settings(overrides=request.get("settings") or {})
        return images.receive(request, settings, stdin, stdout)
    except BayplanError as error:
        return failure(error)
    except OSError as error:
        return failure(RuntimeFailureError(str(error)))


def respond(text: str, opener: Opener | None = None) -> dict[str, Any]:
    """The response to the text of a request. Errors become ``failed``; nothing is raised for a wrong request."""
    try:
        request = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        return {"failed": True, "msg": f"the request is not JSON: {error}", "where": "request", "warnings": []}
    return answer_to(request, opener)


def answer_to(request: object, opener: Opener | None = None) -> dict[str, Any]:
    """The response to a request that was read already; as ``respond``."""
    log, collector = logging.getLogger("bayplan"), _Collector()
    log.addHandler(collector)
    try:
        response = _handled(request, opener or engines.open_runtime)
    except BayplanError as error:
        response = failure(error)
    except OSError as error:  # a disk that is full, a file that cannot be read: the program still needs an answer
        response = failure(RuntimeFailureError(str(error)))
    except Exception as error:  # noqa: BLE001 - the asker waits for an answer, whatever went wrong
        response = failure(RuntimeFailureError(unforeseen(error), where="bridge"))
    finally:
        log.removeHandler(collector)
    return {**response, "warnings": collector.messages}


def _handled(request: object, opener: Opener) -> dict[str, Any]:
    if not isinstance(request, dict) or request.get("verb") not in VERBS:
        raise DeclarationError(f"a request is an object with a verb: {', '.join(VERBS)}", where="request")
    _refuse_newer(request.get("collection"))
    settings = engines.load_settings(overrides=request.get("settings") or {})
    with telling.begun(request.get("telling"), settings):
        return handle(request, settings, opener)


def _refuse_newer(collection: object) -> None:
    """A package knows nothing of what a later collection asks for."""
    asked = [int(part) for part in str(collection or "0").split("+")[0].split(".") if part.isdigit()]
    if asked > [int(part) for part in __version__.split("+")[0].split(".") if part.isdigit()]:
        raise UnsupportedError(
            f"bayplan {__version__} on the target is older than the collection, {collection}",
            hint="upgrade the package there to that version or a later one",
        )
