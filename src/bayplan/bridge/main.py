"""One request, one response. What Ansible modules (and programs in other languages) speak.

Request: ``verb`` (plan, apply, destroy, info), ``settings``, ``stack`` or ``resources`` and ``absent``, ``check``,
``options`` (``state: stopped`` for containers; ``volumes`` and ``images`` for destroy).
Response: ``changed``, ``plan``, ``diff`` (before, after), ``warnings``, ``result``; or ``failed`` with ``msg``,
``where``, ``hint``, ``output``. Values that may be secret are masked by the engine.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, redirect_stdout
from typing import Any, TextIO

from bayplan import app
from bayplan.bridge.request import read_ids, read_resources, read_stack
from bayplan.errors import BayplanError, DeclarationError, StoppedError
from bayplan.models import Change, Kind, ResourceId, Settings, Stack
from bayplan.reconcile.plan import Action, Plan
from bayplan.reconcile.render import as_json, before_after
from bayplan.runtime.protocol import Runtime, Scope, State

Opener = Callable[[Settings], AbstractContextManager[Runtime]]
VERBS = ("plan", "apply", "destroy", "info")


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def main(stdin: TextIO, stdout: TextIO) -> int:
    """Answer one request. Always writes one JSON object; the exit code is 0 when it could be written."""
    with redirect_stdout(sys.stderr):
        response = respond(stdin.read())
    stdout.write(json.dumps(response) + "\n")
    stdout.flush()
    return 0


def respond(text: str, opener: Opener | None = None) -> dict[str, Any]:
    """The response to the text of a request. Errors become ``failed``; nothing is raised for a wrong request."""
    log, collector = logging.getLogger("bayplan"), _Collector()
    log.addHandler(collector)
    try:
        request = json.loads(text)
        if not isinstance(request, dict) or request.get("verb") not in VERBS:
            raise DeclarationError(f"a request is an object with a verb: {', '.join(VERBS)}", where="request")
        response = _handle(request, opener or app.open_runtime)
    except json.JSONDecodeError as error:
        response = {"failed": True, "msg": f"the request is not JSON: {error}", "where": "request"}
    except BayplanError as error:
        response = _failure(error)
    finally:
        log.removeHandler(collector)
    return {**response, "warnings": collector.messages}


def _failure(error: BayplanError) -> dict[str, Any]:
    where = str(error.where or "")
    return {"failed": True, "msg": str(error), "where": where, "hint": error.hint, "output": error.output}


def _handle(request: Mapping[str, Any], opener: Opener) -> dict[str, Any]:
    settings = app.load_settings(overrides=request.get("settings") or {})
    options = request.get("options") or {}
    absent = read_ids(request.get("absent") or [])
    stack: Stack | str
    if request.get("stack") is not None:
        given = request["stack"]
        bare = not any(given.get(name) for name in ("files", "project_src", "definition"))
        by_name = bare and given.get("project_name") and request["verb"] in ("destroy", "info")
        stack = given["project_name"] if by_name else read_stack(given)
    else:
        stack = read_resources(request.get("resources") or [])
    with opener(settings) as runtime:
        if request["verb"] == "info":
            return _info(stack, absent, runtime)

        def make() -> Plan:
            if request["verb"] == "destroy":
                volumes, images = bool(options.get("volumes")), bool(options.get("images"))
                return app.plan_destroy(stack, runtime, volumes=volumes, images=images)
            assert isinstance(stack, Stack)  # only destroy and info take a bare project name
            plan = app.plan(stack, runtime, absent=absent)
            return _without_starts(plan) if options.get("state") == "stopped" else plan

        stop = _running(stack, runtime) if options.get("state") == "stopped" and isinstance(stack, Stack) else ()
        if request.get("check") or request["verb"] == "plan":
            return _response(make(), stop)
        plan, outcome = app.converge(make, runtime, settings)
        if outcome.stopped:
            done = ", ".join(str(step.resource) for step in outcome.done) or "nothing"
            raise StoppedError(f"stopped between steps; done: {done}", hint="run it again to go on")
        outcome.raise_failure()
        if options.get("state") == "stopped" and isinstance(stack, Stack):
            _stop(stack, runtime)
        return {**_response(plan, stop), "result": {"done": [str(step.resource) for step in outcome.done]}}


def _without_starts(plan: Plan) -> Plan:
    """The plan for containers that are to stand still: what a start would change first is changed all the same."""
    steps = [
        step.model_copy(update={"action": Action.UPDATE}) if step.action is Action.START else step
        for step in plan.steps
        if step.action is not Action.START or any(item.how is not Change.NONE for item in step.fields)
    ]
    return plan.model_copy(update={"steps": tuple(steps)})


def _stop(stack: Stack, runtime: Runtime) -> None:
    if _running(stack, runtime):
        with runtime.lock("stop of single resources"):
            for name in _running(stack, runtime):
                runtime.stop(name)


def _running(stack: Stack, runtime: Runtime) -> tuple[str, ...]:
    """Names of the stack's containers that run now."""
    names = tuple(ResourceId(kind=Kind.CONTAINER, name=item.name) for item in stack.containers)
    found = runtime.observe(Scope(project=None, names=names))
    return tuple(item.name for item in names if (seen := found.get(item)) and seen.status.state is State.RUNNING)


def _response(plan: Plan, stop: tuple[str, ...]) -> dict[str, Any]:
    before, after = before_after(plan)
    before += "".join(f"container {name}: running\n" for name in stop)
    after += "".join(f"container {name}: stopped\n" for name in stop)
    changed = plan.changed or bool(stop)
    return {"changed": changed, "plan": as_json(plan), "diff": {"before": before, "after": after}, "result": None}


def _info(stack: Stack | str, named: tuple[ResourceId, ...], runtime: Runtime) -> dict[str, Any]:
    project = stack if isinstance(stack, str) else stack.name
    mine = () if isinstance(stack, str) else tuple(item.id for item in stack.resources())
    snapshot = runtime.observe(Scope(project=project or None, names=(*mine, *named)))
    result = [
        {"kind": item.id.kind.value, "name": item.id.name, "id": item.handle, **item.status.model_dump(mode="json")}
        for item in snapshot.resources.values()
    ]
    return {"changed": False, "plan": None, "diff": None, "result": result}
