"""From the JSON of a request to models: stacks from Compose files, or single resources with short spellings."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bayplan.errors import DeclarationError
from bayplan.models import RESOURCE_MODELS, Container, Image, ImageMount, Kind, Resource, ResourceId, Settings, Stack

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
    from bayplan.load.compose import find_files, load_stack, load_text

    if given.get("remote_src") is False:
        raise DeclarationError(
            f"{given.get('project_src')} is where Ansible runs, and this connection passes no files along",
            hint="switch pipelining on (not with become_method su), or copy it and leave remote_src out",
        )
    source = given.get("project_src")
    directory = Path(source) if source else None
    common: dict[str, Any] = {
        "project_name": given.get("project_name"),
        "profiles": tuple(given.get("profiles") or ()),
        "environment": _environment(given.get("env") or {}),
        "settings": settings,
    }
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
        raise DeclarationError("no Compose file", where=str(source or ""), hint="give project_src, files or definition")
    return load_stack(files, project_directory=directory, **common)


def read_resources(items: list[Mapping[str, Any]]) -> Stack:
    """Single resources as a stack without a project; a container brings its image. Raises DeclarationError."""
    found: dict[str, list[Any]] = {name: [] for name in _FIELDS.values()}
    for item in items:
        kind = _kind(item)
        values = {name: value for name, value in item.items() if name != "kind"}
        if kind is Kind.CONTAINER:
            values = _container(values)
        if isinstance(values.get("build"), dict):
            built = values["build"].items()
            values["build"] = {key: _texts(value) if key in ("args", "labels") else value for key, value in built}
        where = f"{kind.value} {values.get('name', '')}"
        values = {name: _texts(value) if name in _TEXT_MAPS else value for name, value in values.items()}
        try:
            resource = _model(kind).model_validate(values)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            path = ".".join(str(part) for part in first["loc"])
            message = str(first["msg"]).removeprefix("Value error, ")
            raise DeclarationError(f"{path}: {message}" if path else message, where=where) from error
        found[_FIELDS[kind]].append(resource)
        if isinstance(resource, Container) and resource.image not in [image.name for image in found["images"]]:
            found["images"].append(Image(name=resource.image))
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


def _container(values: Mapping[str, Any]) -> dict[str, Any]:
    """Short spellings of a container's options, as Compose writes them, made long."""
    result = dict(values)
    for name in ("command", "entrypoint"):
        if isinstance(result.get(name), str):
            result[name] = _words(result[name], f"container {values.get('name', '')}: {name}")
        elif isinstance(result.get(name), list):
            result[name] = [str(part) for part in result[name]]
    if result.get("ports"):
        result["ports"] = port_models(result["ports"])
    if result.get("mounts"):
        result["mounts"] = [mount_model(item, str(values.get("name"))) for item in result["mounts"]]
    if result.get("networks"):
        result["networks"] = [{"network": item} if isinstance(item, str) else item for item in result["networks"]]
    restart = result.get("restart")
    if isinstance(restart, (bool, str)):
        # YAML 1.1 reads the word `no` as false.
        result["restart"] = {"condition": "no" if restart is False else restart}
    return result


def _words(text: str, where: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise DeclarationError(f"{text!r}: {error}", where=where, hint="close the quotes, or give a list") from error


def port_models(items: list[Any]) -> list[Any]:
    """Ports as Compose spells them, short or long, as models. Raises DeclarationError."""
    from bayplan.load.compose.ports import read_ports
    from bayplan.load.compose.yaml_text import parse, place

    return list(read_ports(place(parse(json.dumps(items), "ports")[0])))


def mount_model(item: Any, container: str) -> Any:
    """One mount as Compose spells it short, as the fields of a model. Raises DeclarationError."""
    if not isinstance(item, str):
        return item
    from bayplan.load.compose.mounts import MountReader
    from bayplan.load.compose.yaml_text import parse, place

    source = item.split(":")[0]
    reader = MountReader(Path("/"), str(Path.home()), {source: source}, container)
    mounts = reader.read(place(parse(json.dumps({"volumes": [item]}), "mounts")[0]))
    if reader.anonymous:
        raise DeclarationError(f"mounts: {item!r} names no source", where=f"container {container}", hint="NAME:PATH")
    return mounts[0].model_dump(mode="json")


def _texts(values: Any) -> Any:
    return {key: _text(value) for key, value in values.items()} if isinstance(values, dict) else values


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def _environment(given: Mapping[str, Any]) -> dict[str, str]:
    import os

    return {**os.environ, **{name: _text(value) for name, value in given.items()}}
