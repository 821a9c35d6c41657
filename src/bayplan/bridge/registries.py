"""A CNCF Distribution registry as a project of one container: from a program of this host, or from an image."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from bayplan import app
from bayplan.app import kept, recovery
from bayplan.bridge import registry_files, registry_stack, telling
from bayplan.bridge.answers import done, failure, shown
from bayplan.bridge.rooms import Asked
from bayplan.bridge.sent import Sent, keep
from bayplan.errors import BayplanError, ConflictError, NotFoundError, UnsupportedError
from bayplan.models import Container, Image, Kind, Settings, Stack
from bayplan.reconcile.plan import Plan
from bayplan.registry.alive import await_answer
from bayplan.runtime import seal
from bayplan.runtime.protocol import Runtime, Scope

_ANSWER_S = 30
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - spellings in declarations, not bound
_LOG_LINES = 20


def registry(asked: Asked) -> dict[str, Any]:
    """Make it run as its options say, and wait for its answer; or be gone."""
    name = asked.text("name")
    with asked.opened(name) as (runtime, settings):
        if settings.engine == "swarm":
            raise UnsupportedError("a registry of a swarm is a service: declare it by stack", where=f"registry {name}")
        _refuse_other(name, runtime)
        if asked.options.get("state") == "absent":
            return _absent(asked, name, runtime, settings)
        registry_stack.refuse_contradictions(asked)
        return _present(asked, name, runtime, settings)


def _present(asked: Asked, name: str, runtime: Runtime, settings: Settings) -> dict[str, Any]:
    texts = registry_stack.texts(asked, seal.key(settings, make=not asked.check))
    there, contents = None, dict[str, bytes]()
    if not asked.options.get("image"):
        rows, contents = registry_files.image_of(Path(asked.options.get("program") or registry_stack.PROGRAM))
        there = Sent({"key": _key(name), "files": rows}, settings)
        keep(settings, {digest: contents[digest] for digest in there.missing()})
    declared = registry_stack.declared(asked, name, texts, there.directory if there else None, settings.engine)
    stack = registry_stack.stack(declared, name, texts, settings)

    def make() -> Plan:
        return app.plan(stack, runtime, settings=settings)

    if asked.check:
        plan = there.foreseen(make) if there else make()
        return {**shown(plan), "result": None, **_told(asked, name, runtime)}
    if there:
        there.write()
    for part, text in texts.items():
        if kept.read(Kind.SECRET, f"{name}-{part}", settings) != text.encode():
            kept.write(Kind.SECRET, f"{name}-{part}", text.encode(), settings)
    plan, outcome, back = recovery.converge(make, runtime, settings, report=telling.report())
    response = {**shown(plan), **done(outcome, back)}
    if not response.get("failed") and settings.engine_address is None:
        response |= _answered(asked, name, runtime)
    return {**response, **_told(asked, name, runtime)}


def _absent(asked: Asked, name: str, runtime: Runtime, settings: Settings) -> dict[str, Any]:
    stack = Stack(name=name, images=(Image(name=registry_stack.image(name)),))
    volumes = bool(asked.options.get("remove_storage"))

    def make() -> Plan:
        return app.plan_destroy(stack, runtime, volumes=volumes, images=True)

    if asked.check:
        return {**shown(make()), "result": None, "container": None}
    plan, outcome = app.converge(make, runtime, settings)
    response = {**shown(plan), **done(outcome)}
    if not response.get("failed"):
        Sent({"key": _key(name)}, settings).forget()
        for part in registry_stack.WRITTEN:
            kept.path_of(Kind.SECRET, f"{name}-{part}", settings).unlink(missing_ok=True)
    return {**response, "container": None}


def _refuse_other(name: str, runtime: Runtime) -> None:
    """A project of that name that is no registry would lose all that it has."""
    found = runtime.observe(Scope(project=name)).resources.values()
    services = {item.actual.service for item in found if isinstance(item.actual, Container)}
    if other := sorted(services - {registry_stack.SERVICE}):
        raise ConflictError(
            f"project {name} is no registry: it has {', '.join(other)}", where="registry", hint="choose another name"
        )


def _answered(asked: Asked, name: str, runtime: Runtime) -> dict[str, Any]:
    """Nothing, or the failure of one that does not answer, with the last it wrote."""
    address, seconds = registry_stack.address(asked), asked.options.get("wait_timeout")
    try:
        await_answer(
            _EVERYWHERE.get(address, address),
            registry_stack.port(asked),
            tls=bool(asked.options.get("tls_certificate")),
            seconds=float(_ANSWER_S if seconds is None else seconds),
        )
    except BayplanError as error:
        with contextlib.suppress(BayplanError):
            error.output = "\n".join(line.text for line in list(runtime.logs(_container(name)))[-_LOG_LINES:])
        return failure(error)
    return {}


def _told(asked: Asked, name: str, runtime: Runtime) -> dict[str, Any]:
    """Where it is, and its container."""
    address, port = registry_stack.address(asked), registry_stack.port(asked)
    host = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    scheme = "https" if asked.options.get("tls_certificate") else "http"
    told: dict[str, Any] = {"registry": host, "url": f"{scheme}://{host}", "container": None}
    with contextlib.suppress(NotFoundError, KeyError):
        told["container"] = dict(runtime.inspect(_container(name)))
    return told


def _container(name: str) -> str:
    return f"{name}-{registry_stack.SERVICE}-1"


def _key(name: str) -> str:
    return f"registry-{name}"
