"""Secrets and configs: files of this host that stacks name as external, and versions that a swarm keeps."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayplan import app, engines
from bayplan.app import kept
from bayplan.bridge import masking
from bayplan.bridge.answers import differing, done, shown
from bayplan.bridge.rooms import Asked
from bayplan.errors import DeclarationError
from bayplan.models import Kind, ResourceId, Stack
from bayplan.runtime.protocol import Runtime, Scope

if TYPE_CHECKING:
    from bayplan.reconcile.plan import Plan

_FORMS = ("data", "data_is_b64", "data_src")


def secret(asked: Asked) -> dict[str, Any]:
    """Keep or forget a secret; what it holds is in no answer."""
    return _kept(asked, Kind.SECRET)


def config(asked: Asked) -> dict[str, Any]:
    """Keep or forget a config."""
    return _kept(asked, Kind.CONFIG)


def _kept(asked: Asked, kind: Kind) -> dict[str, Any]:
    name, present = asked.text("name"), asked.options.get("state", "present") == "present"
    content = _content(asked, kind) if present else None
    if content is not None:
        kept.check(content, f"{kind} {name}")
    settings = engines.chosen(asked.settings)
    if settings.engine == "swarm":
        return _of_swarm(asked, kind, name, content)
    path = kept.path_of(kind, name, settings)
    if asked.options.get("labels"):
        raise DeclarationError("labels are kept by a swarm alone", where=f"{kind} {name}", hint="leave them out")
    before = kept.read(kind, name, settings)
    if before != content and not asked.check:
        if content is None:
            path.unlink()
        else:
            kept.write(kind, name, content, settings)
    texts = masking.both(_text(kind, before, None), _text(kind, content, before))
    return differing(before != content, *texts, name=name, path=str(path), exists=content is not None)


def _of_swarm(asked: Asked, kind: Kind, name: str, content: bytes | None) -> dict[str, Any]:
    """Each content is a version with a name of its own, as the swarm lets none change; ``name`` says which it is."""
    from pydantic import SecretBytes

    from bayplan.models.swarm import Config, Secret, SwarmStack

    wanted: tuple[Any, ...] = ()
    if content is not None:
        model = Secret if kind is Kind.SECRET else Config
        labels = {key: str(value) for key, value in (asked.options.get("labels") or {}).items()}
        wanted = (model(name=name, content=SecretBytes(content), labels=labels),)
    stack = SwarmStack(name="", **{f"{kind}s": wanted})
    with asked.opened() as (runtime, settings):

        def make() -> Plan:
            gone = () if wanted else _versions(runtime, kind, name)
            return app.plan(stack, runtime, absent=gone, settings=settings)

        called = [item.id.name for item in _sealed(stack, runtime.facts().key.get_secret_value()).resources()]
        told = {"name": called[0] if called else name, "exists": bool(called)}
        if asked.check:
            return {**shown(make()), "result": None, **told}
        plan, outcome = app.converge(make, runtime, settings)
        return {**shown(plan), **done(outcome), **told}


def _versions(runtime: Runtime, kind: Kind, name: str) -> tuple[ResourceId, ...]:
    """Every content that this module gave a swarm under a name; those of a stack are the stack's."""
    from bayplan.models.swarm.secrets import is_version

    there = runtime.observe(Scope(project="")).resources.values()
    mine = (one.id for one in there if one.managed and not one.project and one.id.kind is kind)
    return tuple(one for one in mine if is_version(one.name, name))


def _sealed(stack: Stack, key: bytes) -> Stack:
    return stack.sealed(key)


def _content(asked: Asked, kind: Kind) -> bytes:
    given = {form: asked.options[form] for form in _FORMS if asked.options.get(form) is not None}
    if "data_src" in given:
        return kept.source(Path(str(given["data_src"])))
    if "data" not in given:
        raise DeclarationError("give data or data_src", where=f"{kind} {asked.options.get('name')}")
    if not given.get("data_is_b64"):
        return str(given["data"]).encode()
    try:
        return base64.b64decode(str(given["data"]), validate=True)
    except binascii.Error as error:
        raise DeclarationError(f"data is not base64: {error}", where=f"{kind} {asked.options.get('name')}") from error


def _text(kind: Kind, content: bytes | None, other: bytes | None) -> str:
    """Of a secret, only that there is one, and that it is another."""
    if content is None:
        return ""
    if kind is Kind.CONFIG:
        return content.decode(errors="replace")
    return f"a secret{'' if other is None else ', another content'}\n"
