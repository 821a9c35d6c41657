"""What requests for resources and stacks are answered with: their plan, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayplan import app, engines
from bayplan.app import recovery
from bayplan.bridge import of_stack, sent, telling, waiting
from bayplan.bridge.answers import done, failure, shown
from bayplan.bridge.request import read_ids, read_resources, read_stack
from bayplan.bridge.rooms import ROOMS, Asked, Opener, answer
from bayplan.errors import BayplanError, DeclarationError
from bayplan.models import Kind, ResourceId, Settings, Stack
from bayplan.reconcile.plan import Plan
from bayplan.reconcile.render import as_text
from bayplan.resolve.beside import is_there
from bayplan.runtime.protocol import Runtime, Scope

_ALONE = (Kind.NETWORK.value, Kind.VOLUME.value)
"""Kinds of which one is told beside its plan."""


def handle(request: Mapping[str, Any], settings: Settings, opener: Opener) -> dict[str, Any]:
    """The response to a request that has a known verb. Raises errors of ``bayplan.errors``."""
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
        stack = of_stack.with_policies(_locked(stack, strict=bool(request["stack"].get("locked"))), options)
    with opener(settings) as runtime:
        if request["verb"] == "info":
            return _info(stack, absent, runtime)
        if request["verb"] == "report":
            from bayplan.app import environments

            name = stack if isinstance(stack, str) else stack.name
            return {"report": environments.report(name, runtime, settings).model_dump(mode="json")}

        def make() -> Plan:
            if request["verb"] == "destroy":
                volumes, images = bool(options.get("volumes")), bool(options.get("images"))
                return app.plan_destroy(stack, runtime, volumes=volumes, images=images)
            assert isinstance(stack, Stack)  # only destroy and info take a bare project name
            forced = of_stack.forced(stack, options, runtime)
            stopped = of_stack.stopped(stack, options, runtime)
            if some := options.get("services"):
                made = app.plan_services(stack, some, runtime, settings, forced=forced, stopped=stopped)
            else:
                orphans = options.get("purge") is not False
                made = app.plan(
                    stack, runtime, absent=absent, stopped=stopped, forced=forced, settings=settings, orphans=orphans
                )
            return made.model_copy(update={"stopped": tuple(item.name for item in stopped)})

        if request.get("check") or request["verb"] == "plan":
            made = make()
            text = {"text": as_text(made)} if options.get("text") else {}
            return {**shown(made), **text, "result": None, **_alone(request, runtime)}
        settings = _told_of_failure(settings, options.get("on_failure"))
        plan, outcome, back = recovery.converge(make, runtime, settings, report=telling.report())
        response = {**shown(plan), **done(outcome, back)}
        waits = options.get("wait") and options.get("state") != "stopped"
        if waits and isinstance(stack, Stack) and not response.get("failed"):
            response |= waiting.settled(stack, options, runtime)
        return {**response, **_alone(request, runtime)}


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
        response = there.foreseen(lambda: handle(here, settings, opener))
    else:
        there.write()
        try:
            response = handle(here, settings, opener)
        except BayplanError as error:
            response = failure(error)
        if request["verb"] == "destroy" and not response.get("failed"):
            there.forget()
    changed = bool(response.get("changed") or there.changed)
    return {**response, "changed": changed, "sent": {"written": there.written, "removed": there.removed}}


def _locked(stack: Stack, *, strict: bool) -> Stack:
    """At the digests of the lock beside it; there is none most of the time."""
    if not (strict or is_there(stack)):
        return stack
    from bayplan.app import environments

    return environments.held(stack, strict=strict)


def _alone(request: Mapping[str, Any], runtime: Runtime) -> dict[str, Any]:
    """What is there of a network or volume that was asked for alone, as ``docker inspect`` has it."""
    asked = [*(request.get("resources") or ()), *(request.get("absent") or ())]
    if len(asked) != 1 or request.get("stack") is not None or asked[0]["kind"] not in _ALONE:
        return {}
    from bayplan.bridge import looks

    return looks.of_single(Kind(asked[0]["kind"]), str(asked[0]["name"]), runtime)


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
