"""One request, one response. What Ansible modules (and programs in other languages) speak.

Request: ``verb`` (plan, apply, destroy, info, report), ``settings``, ``stack`` or ``resources`` and ``absent``,
``check``, ``options`` (``state: stopped`` for containers; ``text``: the plan as a terminal shows it too; ``volumes``
and ``images`` for destroy; ``on_failure`` for the apply of a stack: rollback or keep), ``collection`` (its version).
Other verbs take ``options`` alone, and answer with more fields of their own (``bridge.rooms``).
``image_receive`` is another request, with its own answers (``bridge.images``). ``bridge --serve`` answers many requests
(``bridge.serving``).
Response: ``changed``, ``plan``, ``diff`` (before, after), ``warnings``, ``result`` (``done``, ``failed``, ``skipped``,
``rolled_back`` where that was done; null when nothing was to be done), and of ``report`` a ``report`` (docs/parity.md);
or ``failed`` with ``msg``, ``where``, ``hint``, ``output``, and the former as well when a step of an apply failed.
Values that may be secret are masked by the engine.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any, BinaryIO, TextIO

from bayplan import __version__, app, engines, recovery
from bayplan.bridge import images, sent, waiting
from bayplan.bridge.answers import done as _done
from bayplan.bridge.answers import failure as _failure
from bayplan.bridge.answers import shown as _shown
from bayplan.bridge.request import read_ids, read_resources, read_stack
from bayplan.bridge.rooms import ROOMS, Asked, Opener, answer
from bayplan.errors import BayplanError, DeclarationError, RuntimeFailureError, UnsupportedError
from bayplan.models import Kind, ResourceId, Settings, Stack
from bayplan.reconcile.plan import Plan
from bayplan.reconcile.render import as_text
from bayplan.resolve.beside import is_there
from bayplan.runtime.protocol import Runtime, Scope

VERBS = ("plan", "apply", "destroy", "info", "report", *ROOMS)


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def run(arguments: Sequence[str]) -> int:
    """Answer one request on the standard streams, or with ``--serve`` as many as come."""
    if list(arguments) == ["--serve"]:
        from bayplan.bridge.serving import main as serve

        return serve()
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
        return _failure(error)
    except OSError as error:
        return _failure(RuntimeFailureError(str(error)))


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
        if not isinstance(request, dict) or request.get("verb") not in VERBS:
            raise DeclarationError(f"a request is an object with a verb: {', '.join(VERBS)}", where="request")
        _refuse_newer(request.get("collection"))
        response = _handle(request, opener or engines.open_runtime)
    except BayplanError as error:
        response = _failure(error)
    except OSError as error:  # a disk that is full, a file that cannot be read: the program still needs an answer
        response = _failure(RuntimeFailureError(str(error)))
    finally:
        log.removeHandler(collector)
    return {**response, "warnings": collector.messages}


def _refuse_newer(collection: object) -> None:
    """A package knows nothing of what a later collection asks for."""
    asked = [int(part) for part in str(collection or "0").split("+")[0].split(".") if part.isdigit()]
    if asked > [int(part) for part in __version__.split("+")[0].split(".") if part.isdigit()]:
        raise UnsupportedError(
            f"bayplan {__version__} on the target is older than the collection, {collection}",
            hint="upgrade the package there to that version or a later one",
        )


def _handle(request: Mapping[str, Any], opener: Opener) -> dict[str, Any]:
    settings = engines.load_settings(overrides=request.get("settings") or {})
    if (request.get("stack") or {}).get("sent") is not None:
        return _handle_sent(request, settings, opener)
    options = request.get("options") or {}
    if request["verb"] in ROOMS:
        return answer(Asked(request["verb"], options, bool(request.get("check")), settings, opener))
    absent = read_ids(request.get("absent") or [])
    stack: Stack | str
    if request.get("stack") is not None:
        given = request["stack"]
        bare = not any(given.get(name) for name in ("files", "project_src", "definition"))
        by_name = bare and given.get("project_name") and request["verb"] in ("destroy", "info", "report")
        stack = given["project_name"] if by_name else read_stack(given, settings)
    else:
        stack = read_resources(request.get("resources") or [])
    of_nodes = [item.kind for item in absent] or ([] if isinstance(stack, str) else _kinds(stack))
    if Kind.NODE in of_nodes and settings.engine == "auto":
        settings = settings.model_copy(update={"engine": "swarm"})  # no other has nodes
    read_for = settings.engine
    settings = engines.chosen(settings, lambda: stack if isinstance(stack, str) else stack.name)
    if settings.engine == "swarm" != read_for and request.get("stack") is not None and not isinstance(stack, str):
        stack = read_stack(request["stack"], settings)  # it was read for one host, to know its name
    if request["verb"] in ("plan", "apply") and request.get("stack") is not None and isinstance(stack, Stack):
        stack = _locked(stack, strict=bool(request["stack"].get("locked")))
    with opener(settings) as runtime:
        if request["verb"] == "info":
            return _info(stack, absent, runtime)
        if request["verb"] == "report":
            from bayplan import environments

            name = stack if isinstance(stack, str) else stack.name
            return {"report": environments.report(name, runtime, settings).model_dump(mode="json")}

        def make() -> Plan:
            if request["verb"] == "destroy":
                volumes, images = bool(options.get("volumes")), bool(options.get("images"))
                return app.plan_destroy(stack, runtime, volumes=volumes, images=images)
            assert isinstance(stack, Stack)  # only destroy and info take a bare project name
            if options.get("services"):
                return app.plan_services(stack, options["services"], runtime, settings)
            stopped = [item.id for item in stack.containers] if options.get("state") == "stopped" else ()
            keep = options.get("purge") is False
            return app.plan(stack, runtime, absent=absent, stopped=stopped, settings=settings, orphans=not keep)

        if request.get("check") or request["verb"] == "plan":
            made = make()
            text = {"text": as_text(made)} if options.get("text") else {}
            return {**_shown(made), **text, "result": None}
        settings = _told_of_failure(settings, options.get("on_failure"))
        plan, outcome, back = recovery.converge(make, runtime, settings)
        response = {**_shown(plan), **_done(outcome, back)}
        if options.get("wait") and isinstance(stack, Stack) and not response.get("failed"):
            response |= waiting.settled(stack, options, runtime)
        return response


def _told_of_failure(settings: Settings, asked: object) -> Settings:
    """Settings with what the request says becomes of a stack that fails."""
    if asked not in (None, "rollback", "keep"):
        raise DeclarationError(f"on_failure is rollback or keep, not {asked!r}", where="request")
    return settings.model_copy(update={"on_failure": asked}) if asked else settings


def _handle_sent(request: Mapping[str, Any], settings: Settings, opener: Opener) -> dict[str, Any]:
    """A stack whose files the asker has: brought here first, or foreseen."""
    given = dict(request["stack"])
    files = given.pop("sent")
    there = sent.Sent(files, engines.chosen(settings, lambda: str(given.get("project_name") or files.get("key"))))
    missing = there.missing()
    if missing:
        return {"changed": False, "missing": missing}
    here = {**request, "stack": {**given, "project_src": str(there.directory), "remote_src": True}}
    if request.get("check") or request["verb"] == "plan":
        response = there.foreseen(lambda: _handle(here, opener))
    else:
        there.write()
        try:
            response = _handle(here, opener)
        except BayplanError as error:
            response = _failure(error)
        if request["verb"] == "destroy" and not response.get("failed"):
            there.forget()
    changed = bool(response.get("changed") or there.changed)
    return {**response, "changed": changed, "sent": {"written": there.written, "removed": there.removed}}


def _locked(stack: Stack, *, strict: bool) -> Stack:
    """At the digests of the lock beside it; there is none most of the time."""
    if not (strict or is_there(stack)):
        return stack
    from bayplan import environments

    return environments.held(stack, strict=strict)


def _kinds(stack: Stack) -> list[Kind]:
    return [item.kind for item in stack.resources()]


def _info(stack: Stack | str, named: tuple[ResourceId, ...], runtime: Runtime) -> dict[str, Any]:
    project = stack if isinstance(stack, str) else stack.name
    mine = () if isinstance(stack, str) else tuple(item.id for item in stack.resources())
    snapshot = runtime.observe(Scope(project=project or None, names=(*mine, *named)))
    result = [
        {"kind": item.id.kind.value, "name": item.id.name, "id": item.handle, **item.status.model_dump(mode="json")}
        for item in snapshot.resources.values()
    ]
    return {"changed": False, "plan": None, "diff": None, "result": result}
