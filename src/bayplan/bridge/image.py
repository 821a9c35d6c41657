"""An image made present from a registry, a build, an archive or a tree; then its further names, a copy, a push."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayplan import app
from bayplan.bridge import telling
from bayplan.bridge.answers import differing, done, failure, shown
from bayplan.bridge.image_acts import Act, acts, do, repositories_of, there
from bayplan.bridge.request import read_resources
from bayplan.bridge.rooms import Asked
from bayplan.errors import BayplanError, DeclarationError, NotFoundError
from bayplan.models import ImageReference, Kind, ResourceId, Stack
from bayplan.reconcile.plan import Plan
from bayplan.runtime.protocol import Runtime

_ACTS = (
    "tag",
    "source",
    "load_path",
    "import_path",
    "tags",
    "repository",
    "push",
    "archive_path",
    "archive_format",
    "force",
    "state",
)
_BUILD = {"path": "context", "etc_hosts": "extra_hosts", "nocache": "no_cache"}
"""Docker's names of parts of a build."""


def image(asked: Asked) -> dict[str, Any]:
    """Make it present, then do the acts that something is still lacking for."""
    options, name = asked.options, _name(asked)
    if options.get("state") == "absent":
        return _absent(asked, name)
    sources = [one for one in ("build", "load_path", "import_path") if options.get(one) is not None]
    if len(sources) > 1:
        raise DeclarationError(f"{sources[0]} and {sources[1]} exclude each other", where=f"image {name}")
    needed = {"build": "build", "load": "load_path"}.get(options.get("source") or "")
    if needed and options.get(needed) is None:
        raise DeclarationError(f"source: {options['source']} needs {needed}", where=f"image {name}")
    _paths_there(asked)
    own = {key: value for key, value in options.items() if key not in _ACTS and value is not None}
    own["name"] = name
    if isinstance(own.get("build"), Mapping):
        own["build"] = {_BUILD.get(key, key): value for key, value in own["build"].items() if value is not None}
    if options.get("source") == "local":
        own["pull"] = "never"
    by_file = sources in (["load_path"], ["import_path"])
    stack = Stack(name="") if by_file else read_resources([{**own, "kind": "image"}])
    with asked.opened() as (runtime, settings):
        pushed = there(asked, runtime, name)

        def make() -> Plan:
            return app.plan(stack, runtime, settings=settings)

        if asked.check:
            plan = make()
            return _answered(asked, runtime, plan, {}, list(acts(asked, runtime, name, pushed, fresh=plan.changed)))
        plan, outcome = app.converge(make, runtime, settings, report=telling.report())
        told = done(outcome)
        acted: list[Act] = []
        try:
            if not told.get("failed"):
                for act in acts(asked, runtime, name, pushed, fresh=plan.changed):
                    do(asked, runtime, name, act)
                    acted.append(act)
        except BayplanError as error:
            told |= failure(error)
        return _answered(asked, runtime, plan, told, acted)


def image_copy(asked: Asked) -> dict[str, Any]:
    """Give an image to another host over SSH; nothing is sent that is there already."""
    name, target = _name(asked), asked.text("target")
    command = str(asked.options.get("remote_command") or "bayplan bridge")
    with asked.opened() as (runtime, _):
        found = runtime.image_verbs.inspect(name)
        if asked.check:
            said = f"would offer {name} to {target}; what it lacks is known only then"
            return {"changed": True, "skipped": True, "msg": said, "digest": found.get("Digest")}
        copied = runtime.image_verbs.copy(name, target, command)
    after = f"{target}: image {name} {copied.digest}\n"
    return differing(
        copied.blobs > 0, "", after, digest=copied.digest, blobs=copied.blobs, size_bytes=copied.size_bytes
    )


def _answered(asked: Asked, runtime: Runtime, plan: Plan, told: dict[str, Any], acts: list[Act]) -> dict[str, Any]:
    response = {**shown(plan), "result": None, **told}
    for act in acts:
        response["diff"]["before"] += f"{act.what} {act.name}: {act.before}\n" if act.before else ""
        response["diff"]["after"] += f"{act.what} {act.name}: {act.after}\n"
    response["changed"] = bool(response["changed"] or acts)
    response["acts"] = [{"act": act.what, "name": act.name} for act in acts]
    try:
        found = runtime.image_verbs.inspect(_name(asked))
    except NotFoundError:
        found = {}
    return {**response, "image": found or None, "digest": found.get("Digest", ""), "id": found.get("Id", "")}


def _absent(asked: Asked, name: str) -> dict[str, Any]:
    names = (name, *map(str, asked.options.get("tags") or ()), *repositories_of(asked.options, name))
    wanted = [ResourceId(kind=Kind.IMAGE, name=one) for one in names]
    with asked.opened() as (runtime, settings):

        def make() -> Plan:
            return app.plan(Stack(name=""), runtime, absent=wanted, settings=settings)

        gone: dict[str, Any] = {"image": None, "digest": "", "id": "", "acts": []}
        if asked.check:
            return {**shown(make()), "result": None, **gone}
        plan, outcome = app.converge(make, runtime, settings)
        return {**shown(plan), **done(outcome), **gone}


def _name(asked: Asked) -> str:
    """With the tag that may stand in an option of its own, as in community.docker."""
    name, tag = asked.text("name"), asked.options.get("tag")
    try:
        found = ImageReference.parse(name)
    except ValueError as error:
        raise DeclarationError(str(error), where="image name", hint="such as registry.example/team/app:1.2") from error
    if tag and (found.digest or ":" in name.rpartition("/")[2]):
        raise DeclarationError(f"tag {tag}: {name} has one already", where=f"image {name}", hint="give it once")
    name = f"{name}:{tag}" if tag else name
    for option in ("tags", "repository"):
        for one in asked.options.get(option) or ():
            try:
                ImageReference.parse(str(one))
            except ValueError as error:
                raise DeclarationError(f"{option}: {error}", where=f"image {name}") from error
    return name


def _paths_there(asked: Asked) -> None:
    for option in ("load_path", "import_path", "archive_path"):
        if not Path(asked.options.get(option) or "/").is_absolute():
            said = f"{option} {asked.options[option]} must be absolute"
            raise DeclarationError(said, where=f"image {asked.text('name')}", hint="it is of the target")
    for option in ("load_path", "import_path"):
        path = asked.options.get(option)
        if path is not None and not Path(path).exists():
            raise NotFoundError(f"{option} {path} does not exist on the target", where=f"image {asked.text('name')}")
    archive = asked.options.get("archive_path")
    if archive is not None and not Path(archive).parent.is_dir():
        raise NotFoundError(f"directory {Path(archive).parent} does not exist", hint="make it first")
