"""From the JSON of a request to models: stacks from Compose files, or single resources with short spellings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bayplan.errors import DeclarationError
from bayplan.models import (
    RESOURCE_MODELS,
    Container,
    Image,
    ImageMount,
    ImageReference,
    Kind,
    Resource,
    ResourceId,
    Settings,
    Stack,
)

_TEXT_MAPS = ("environment", "labels", "sysctls", "extra_hosts", "annotations")
_FIELDS = {
    Kind.IMAGE: "images",
    Kind.NETWORK: "networks",
    Kind.VOLUME: "volumes",
    Kind.CONTAINER: "containers",
    Kind.NODE: "nodes",
}


def read_stack(given: Mapping[str, Any], settings: Settings) -> Stack:
    """The stack of ``project_src``, ``files`` (relative to it) or ``definition``. Raises DeclarationError."""
    if given.get("remote_src") is False:
        raise DeclarationError(
            f"{given.get('project_src')} is where Ansible runs, and this connection passes no files along",
            hint="switch pipelining on (not with become_method su), or copy it and leave remote_src out",
        )
    source = given.get("project_src")
    directory = Path(source) if source else None
    if directory and given.get("definition") is None and not directory.is_dir():
        what = "project_src is no directory" if directory.exists() else "project_src does not exist on this host"
        raise DeclarationError(what, where=str(source), hint="remote_src: false takes it from where Ansible runs")
    common: dict[str, Any] = {
        "project_name": given.get("project_name"),
        "profiles": tuple(given.get("profiles") or ()),
        "environment": _environment(given.get("env") or {}),
        "env_files": tuple((directory or Path.cwd()) / name for name in given.get("env_files") or ()),
        "settings": settings,
        "override": _scaled(given.get("scale") or {}),
    }
    try:
        return _loaded(given, directory, common)
    except DeclarationError as error:
        if given.get("scale") and str(error.where).startswith("override"):  # a text that nobody wrote
            names = ", ".join(map(str, given["scale"]))
            raise DeclarationError(f"scale names a service that is not declared: {names}", where="stack") from error
        raise


def _loaded(given: Mapping[str, Any], directory: Path | None, common: Mapping[str, Any]) -> Stack:
    from bayplan.load.compose import find_files, load_stack, load_text

    if given.get("definition") is not None:
        named = given.get("project_name") or directory or given["definition"].get("name")
        if not named:  # the working directory's name would be a chance
            raise DeclarationError("a definition needs a name", hint="give project_name, or name in the definition")
        text = json.dumps(given["definition"])
        return load_text(text, label="definition", project_directory=directory or Path.cwd(), **common)
    files = tuple((directory or Path.cwd()) / name for name in given.get("files") or ())
    if not files and directory:
        files = find_files(directory)
    if not files:
        where = str(given.get("project_src") or "")
        raise DeclarationError("no Compose file", where=where, hint="give project_src, files or definition")
    return load_stack(files, project_directory=directory, **common)


def _scaled(scale: Mapping[str, Any]) -> str:
    """Replicas by service, as a text that goes over the files."""
    for name, count in scale.items():
        if isinstance(count, bool) or not str(count).isdecimal():
            raise DeclarationError(f"scale: {name} {count!r} is no number of replicas", where="stack")
    services = {name: {"scale": int(count), "deploy": {"replicas": int(count)}} for name, count in scale.items()}
    return json.dumps({"services": services}) if services else ""


def read_resources(items: list[Mapping[str, Any]]) -> Stack:
    """Single resources as a stack without a project; a container brings its image. Raises DeclarationError."""
    found: dict[str, list[Any]] = {name: [] for name in _FIELDS.values()}
    for item in items:
        kind = _kind(item)
        values = {name: value for name, value in item.items() if name != "kind"}
        of_image: dict[str, Any] = {}
        # Their spellings are those of Compose files, whose reader comes along.
        if kind is Kind.CONTAINER:
            from bayplan.bridge import spellings

            values, of_image = spellings.read(values)
        elif kind is Kind.NETWORK:
            from bayplan.bridge import networks

            values = networks.read(values)
        if isinstance(values.get("build"), dict):
            built = values["build"].items()
            values["build"] = {key: _texts(value) if key in ("args", "labels") else value for key, value in built}
        where = f"{kind.value} {values.get('name', '')}"
        values = {name: _texts(value) if name in _TEXT_MAPS else value for name, value in values.items()}
        try:
            resource = _model(kind).model_validate(values)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            if first["type"] == "extra_forbidden":
                raise _unknown(".".join(map(str, first["loc"])), _model(kind), where) from error
            raise DeclarationError(said(error), where=where) from error
        found[_FIELDS[kind]].append(resource)
        if isinstance(resource, Container) and resource.image not in [image.name for image in found["images"]]:
            found["images"].append(_image(resource.image, of_image, where))
        for mount in resource.mounts if isinstance(resource, Container) else ():
            if isinstance(mount, ImageMount) and mount.source not in [image.name for image in found["images"]]:
                found["images"].append(Image(name=mount.source))
    nodes = found.pop("nodes")
    single = {name: tuple(values) for name, values in found.items()}
    if not nodes:
        return Stack(name="", **single)
    if any(single.values()):
        raise DeclarationError("nodes of a swarm stand alone in a request", where="request")
    from bayplan.models.swarm import SwarmStack

    return SwarmStack(name="", nodes=tuple(nodes))


def said(error: ValidationError) -> str:
    """What a model says first, with the path of its field and without the value, which may be a secret."""
    first = error.errors(include_url=False, include_input=False)[0]
    path, message = ".".join(map(str, first["loc"])), str(first["msg"]).removeprefix("Value error, ")
    return f"{path}: {message}" if path else message


def _unknown(path: str, model: type[Resource], where: str) -> DeclarationError:
    import difflib

    near = difflib.get_close_matches(path, model.model_fields, n=1)
    hint = f"did you mean {near[0]!r}?" if near else ""
    return DeclarationError(f"there is no option {path!r}", where=where, hint=hint)


def _image(name: str, options: Mapping[str, Any], where: str) -> Image:
    try:
        ImageReference.parse(name)
    except ValueError as error:
        raise DeclarationError(str(error), where=where, hint="such as registry.example/team/app:1.2") from error
    try:
        return Image.model_validate({"name": name, **options})
    except ValidationError as error:
        raise DeclarationError(said(error), where=where) from error


def _model(kind: Kind) -> type[Resource]:
    if kind is not Kind.NODE:
        return RESOURCE_MODELS[kind]
    from bayplan.models.swarm import SwarmNode

    return SwarmNode


def read_ids(items: list[Mapping[str, Any]]) -> tuple[ResourceId, ...]:
    """Kinds and names of resources that must be gone."""
    return tuple(ResourceId(kind=_kind(item), name=str(item.get("name", ""))) for item in items)


def _kind(item: Mapping[str, Any]) -> Kind:
    kinds = [kind.value for kind in _FIELDS]
    if item.get("kind") not in kinds:
        raise DeclarationError(f"unknown kind {item.get('kind')!r}", hint=f"one of {', '.join(kinds)}")
    return Kind(item["kind"])


def _texts(values: Any) -> Any:
    return {key: _text(value) for key, value in values.items()} if isinstance(values, dict) else values


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def _environment(given: Mapping[str, Any]) -> dict[str, str]:
    import os

    return {**os.environ, **{name: _text(value) for name, value in given.items()}}
