"""What is done with an image beside the plan: loaded, imported, named, saved, pushed, each only where it is lacking."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayplan import app
from bayplan.bridge import archives
from bayplan.bridge.rooms import Asked
from bayplan.errors import NotFoundError
from bayplan.models import Image, ImageReference, PullPolicy
from bayplan.runtime.protocol import Runtime

_NEW = "the new image"


@dataclass(frozen=True)
class Act:
    """One thing done beside the plan: what, on which name, and how the difference reads."""

    what: str
    name: str
    before: str
    after: str


def there(asked: Asked, runtime: Runtime, name: str) -> dict[str, str]:
    """Names that shall be pushed to the digests that their registries have; asked before anything is changed.

    Raises UnavailableError for a registry that is away.
    """
    if not asked.options.get("push"):
        return {}
    names = repositories_of(asked.options, name) or (name, *map(str, asked.options.get("tags") or ()))
    return {other: pushed_digest(runtime, other) for other in names}


def acts(asked: Asked, runtime: Runtime, name: str, pushed: Mapping[str, str], *, fresh: bool) -> Iterator[Act]:
    """What is lacking, in order; ``pushed`` is what ``there`` found.

    ``fresh``: the image itself is made by this task; a check cannot know which it is.
    """
    options, force = asked.options, bool(asked.options.get("force"))
    here = None if fresh and asked.check else id_of(runtime, name)
    if (path := options.get("load_path")) is not None:
        wanted = _held(Path(path), name)
        if force or wanted != here:
            yield Act("load", name, here or "", wanted)
            here = wanted
    if (path := options.get("import_path")) is not None:
        wanted, layers = archives.diff_id(Path(path)), _layers(runtime, name)
        if force or layers != [wanted]:
            yield Act("import", name, ",".join(layers), wanted)
            fresh, here = True, None if asked.check else id_of(runtime, name)
    called = _NEW if fresh else here or ""
    for other in (*(options.get("tags") or ()), *repositories_of(options, name)):
        before = id_of(runtime, str(other))
        if here is None or before != here:
            yield Act("tag", str(other), before or "", called)
    if (path := options.get("archive_path")) is not None:
        held = archives.images(Path(path)) if Path(path).exists() else {}
        if force or here is None or here not in held.values():
            yield Act("save", str(path), ",".join(sorted(set(held.values()))), called)
    for other, registered in pushed.items():
        digest = "" if here is None else digest_of(runtime, name)
        if force or not digest or registered != digest:
            yield Act("push", other, registered, called)


def repositories_of(options: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """The names of ``repository``, each with the tag of ``name`` where it has none. Raises ValueError."""
    tag = ImageReference.parse(name).tag
    given = [str(one) for one in options.get("repository") or ()]
    bare = {one for one in given if not ImageReference.parse(one).digest and ":" not in one.rpartition("/")[2]}
    return tuple(f"{one}:{tag}" if tag and one in bare else one for one in given)


def do(asked: Asked, runtime: Runtime, name: str, act: Act) -> None:
    """Do one of them."""
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
            verbs.save([name], aside, str(options.get("archive_format") or _usual_form(runtime)))
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)


def _usual_form(runtime: Runtime) -> str:
    """In which the image keeps its id: Docker and Podman make another configuration of it for an OCI archive."""
    return "oci-archive" if runtime.facts().engine == "native" else "docker-archive"


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


def _inspected(runtime: Runtime, name: str) -> Mapping[str, Any]:
    try:
        return runtime.image_verbs.inspect(name)
    except NotFoundError:
        return {}


def id_of(runtime: Runtime, name: str) -> str | None:
    """The id of an image of the host; None for one that is not there."""
    return str(_inspected(runtime, name).get("Id") or "") or None


def _layers(runtime: Runtime, name: str) -> list[str]:
    return list((_inspected(runtime, name).get("RootFS") or {}).get("Layers") or [])


def digest_of(runtime: Runtime, name: str) -> str:
    """The digest of its manifest, as a registry knows it."""
    found, repository = _inspected(runtime, name), ImageReference.parse(name).name
    known = (text.partition("@") for text in found.get("RepoDigests") or ())
    other = next((digest for text, _, digest in known if ImageReference.parse(text).name == repository), "")
    return str(found.get("Digest") or other)


def pushed_digest(runtime: Runtime, name: str) -> str:
    """The digest that the registry has under the name; empty for none."""
    try:
        return runtime.resolve(Image(name=name, pull=PullPolicy.ALWAYS)).digest
    except NotFoundError:
        return ""
