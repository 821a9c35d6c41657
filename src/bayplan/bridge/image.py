"""An image made present from a registry, a build, an archive or a tree; then its further names, a copy, a push."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayplan import app
from bayplan.bridge import archives
from bayplan.bridge.answers import differing, done, failure, shown
from bayplan.bridge.request import read_resources
from bayplan.bridge.rooms import Asked
from bayplan.errors import BayplanError, DeclarationError, NotFoundError
from bayplan.models import Image, ImageReference, Kind, PullPolicy, ResourceId, Stack
from bayplan.reconcile.plan import Plan
from bayplan.runtime.protocol import Runtime

_ACTS = (
    "tag",
    "source",
    "load_path",
    "import_path",
    "tags",
    "push",
    "archive_path",
    "archive_format",
    "force",
    "state",
)
_NEW = "the new image"
_BUILD = {"path": "context", "etc_hosts": "extra_hosts", "nocache": "no_cache"}
"""Docker's names of parts of a build."""


@dataclass(frozen=True)
class Act:
    """One thing done beside the plan: what, on which name, and how the difference reads."""

    what: str
    name: str
    before: str
    after: str


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

        def make() -> Plan:
            return app.plan(stack, runtime, settings=settings)

        if asked.check:
            plan = make()
            return _answered(asked, runtime, plan, {}, list(_acts(asked, runtime, name, fresh=plan.changed)))
        plan, outcome = app.converge(make, runtime, settings)
        told = done(outcome)
        acts: list[Act] = []
        try:
            if not told.get("failed"):
                for act in _acts(asked, runtime, name, fresh=plan.changed):
                    _do(asked, runtime, name, act)
                    acts.append(act)
        except BayplanError as error:
            told |= failure(error)
        return _answered(asked, runtime, plan, told, acts)


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


def _acts(asked: Asked, runtime: Runtime, name: str, *, fresh: bool) -> Iterator[Act]:
    """What is lacking, in order. ``fresh``: the image itself is made by this task; a check cannot know which it is."""
    options, force = asked.options, bool(asked.options.get("force"))
    here = None if fresh and asked.check else _id(runtime, name)
    if (path := options.get("load_path")) is not None:
        wanted = _held(Path(path), name)
        if force or wanted != here:
            yield Act("load", name, here or "", wanted)
            here = wanted
    if (path := options.get("import_path")) is not None:
        wanted, layers = archives.diff_id(Path(path)), _layers(runtime, name)
        if force or layers != [wanted]:
            yield Act("import", name, ",".join(layers), wanted)
            fresh, here = True, None if asked.check else _id(runtime, name)
    called = _NEW if fresh else here or ""
    for other in options.get("tags") or ():
        before = _id(runtime, str(other))
        if here is None or before != here:
            yield Act("tag", str(other), before or "", called)
    if (path := options.get("archive_path")) is not None:
        held = archives.images(Path(path)) if Path(path).exists() else {}
        if force or here is None or here not in held.values():
            yield Act("save", str(path), ",".join(sorted(set(held.values()))), called)
    for other in (name, *(options.get("tags") or ())) if options.get("push") else ():
        there = _pushed(runtime, str(other))
        digest = "" if here is None else _digest(runtime, name)
        if force or not digest or there != digest:
            yield Act("push", str(other), there, called)


def _do(asked: Asked, runtime: Runtime, name: str, act: Act) -> None:
    verbs, options = runtime.image_verbs, asked.options
    if act.what == "tag":
        app.tag_image(runtime, name, act.name)
    elif act.what == "push":
        verbs.push(act.name)
    elif act.what == "load":
        verbs.load(Path(options["load_path"]), None if _holds(Path(options["load_path"]), name) else name)
    elif act.what == "import":
        verbs.import_tree(Path(options["import_path"]), name)
    else:
        path = Path(act.name)
        aside = path.with_name(f".{path.name}.part")
        try:
            verbs.save([name], aside, str(options.get("archive_format") or "oci-archive"))
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)


def _held(path: Path, name: str) -> str:
    """The id of the image of that name in an archive, or of the only one. Raises NotFoundError."""
    ids = archives.images(path)
    found = ids.get(str(ImageReference.parse(name)))
    if found is None and len(set(ids.values())) == 1:
        (found,) = set(ids.values())
    if found is None:
        raise NotFoundError(f"{path} holds no image {name}", where=f"image {name}", hint=f"it holds {', '.join(ids)}")
    return found


def _holds(path: Path, name: str) -> bool:
    return str(ImageReference.parse(name)) in archives.images(path)


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
    wanted = [ResourceId(kind=Kind.IMAGE, name=str(one)) for one in (name, *(asked.options.get("tags") or ()))]
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
    return f"{name}:{tag}" if tag else name


def _paths_there(asked: Asked) -> None:
    for option in ("load_path", "import_path"):
        path = asked.options.get(option)
        if path is not None and not Path(path).exists():
            raise NotFoundError(f"{option} {path} does not exist on the target", where=f"image {asked.text('name')}")
    archive = asked.options.get("archive_path")
    if archive is not None and not Path(archive).parent.is_dir():
        raise NotFoundError(f"directory {Path(archive).parent} does not exist", hint="make it first")


def _inspected(runtime: Runtime, name: str) -> Mapping[str, Any]:
    try:
        return runtime.image_verbs.inspect(name)
    except NotFoundError:
        return {}


def _id(runtime: Runtime, name: str) -> str | None:
    return str(_inspected(runtime, name).get("Id") or "") or None


def _layers(runtime: Runtime, name: str) -> list[str]:
    return list((_inspected(runtime, name).get("RootFS") or {}).get("Layers") or [])


def _digest(runtime: Runtime, name: str) -> str:
    """Of its manifest, as a registry knows it."""
    found, repository = _inspected(runtime, name), ImageReference.parse(name).name
    known = (text.partition("@") for text in found.get("RepoDigests") or ())
    other = next((digest for text, _, digest in known if ImageReference.parse(text).name == repository), "")
    return str(found.get("Digest") or other)


def _pushed(runtime: Runtime, name: str) -> str:
    """The digest that the registry has under the name; empty for none."""
    try:
        return runtime.resolve(Image(name=name, pull=PullPolicy.ALWAYS)).digest
    except NotFoundError:
        return ""
