"""Devices by name: the Container Device Interface (CDI specification, "CDI JSON Specification").

What a device needs (nodes, mounts, variables, hooks) is described by files that its driver's packages put on the host.
Those are root's, and are believed as /etc is; only the names come from a declaration.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bayplan.errors import ConflictError, NotFoundError
from bayplan.models import Container

_DIRECTORIES = (Path("/etc/cdi"), Path("/var/run/cdi"))
"""Later ones go before earlier ones (CDI, "Specification and directories")."""
_MOST_BYTES = 1 << 20
_HOOKS = frozenset({"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"})


def apply(container: Container, spec: dict[str, Any]) -> None:
    """Add what the named devices need. Raises NotFoundError for a name or a node that is not there."""
    for name in container.cdi_devices:
        for edits in _edits_of(name):
            _apply(edits, spec, name)


def check(container: Container) -> None:
    """Raise NotFoundError for a name that no file knows."""
    apply(container, {"process": {"env": []}, "mounts": [], "linux": {"devices": [], "resources": {"devices": []}}})


def _edits_of(name: str) -> Iterator[Mapping[str, Any]]:
    """The edits of a device: those of its file, then its own."""
    kind, _, wanted = name.partition("=")
    known: list[str] = []
    for file in reversed(list(_files())):
        found = _read(file)
        if found.get("kind") != kind:
            continue
        devices = {str(item.get("name")): item for item in found.get("devices") or ()}
        known += devices
        if wanted in devices:
            yield found.get("containerEdits") or {}
            yield devices[wanted].get("containerEdits") or {}
            return
    there = f"of {kind} there are {', '.join(sorted(set(known)))}" if known else "is its driver installed?"
    where = ", ".join(map(str, _DIRECTORIES))
    raise NotFoundError(f"device {name} is described by no JSON file in {where}", hint=there)


def _files() -> Iterator[Path]:
    for directory in _DIRECTORIES:
        if directory.is_dir():
            yield from sorted(directory.glob("*.json"))


def _read(file: Path) -> Mapping[str, Any]:
    found = file.stat()
    if found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConflictError("others than root may write to a description of devices", where=str(file))
    try:
        with file.open("rb") as content:
            value = json.loads(content.read(_MOST_BYTES))
    except (OSError, ValueError) as error:
        raise ConflictError(f"the description of devices cannot be read: {error}", where=str(file)) from error
    return value if isinstance(value, dict) else {}


def _apply(edits: Mapping[str, Any], spec: dict[str, Any], name: str) -> None:
    process, linux = spec["process"], spec["linux"]
    added = [str(item) for item in edits.get("env") or ()]
    replaced = {item.partition("=")[0] for item in added}
    process["env"] = [item for item in process["env"] if item.partition("=")[0] not in replaced] + added
    for item in edits.get("deviceNodes") or ():
        node, access = _node(item, name)
        linux["devices"] = [one for one in linux["devices"] if one["path"] != node["path"]] + [node]
        numbers = {key: node[key] for key in ("type", "major", "minor")}
        linux["resources"]["devices"].append({"allow": True, **numbers, "access": access})
    for item in edits.get("mounts") or ():
        options = [str(one) for one in item.get("options") or ("ro", "nosuid", "nodev", "rbind", "rprivate")]
        entry = {"destination": item["containerPath"], "type": item.get("type") or "bind", "source": item["hostPath"]}
        spec["mounts"].append({**entry, "options": options})
    for item in edits.get("hooks") or ():
        if item.get("hookName") in _HOOKS:
            hook = {key: item[key] for key in ("path", "args", "env", "timeout") if item.get(key)}
            spec.setdefault("hooks", {}).setdefault(item["hookName"], []).append(hook)
    if gids := edits.get("additionalGids"):
        user = process.setdefault("user", {})
        user["additionalGids"] = [*user.get("additionalGids", ()), *(int(gid) for gid in gids if gid)]


def _node(item: Mapping[str, Any], name: str) -> tuple[dict[str, Any], str]:
    source = Path(str(item.get("hostPath") or item["path"]))
    try:
        found = source.stat()
    except OSError as error:
        raise NotFoundError(f"device {name} needs {source}: {error.strerror}", hint="is its driver loaded?") from error
    if not (stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode)):
        raise NotFoundError(f"device {name} needs {source}, which is no device", hint="is its driver loaded?")
    node = {
        "path": str(item["path"]),
        "type": "b" if stat.S_ISBLK(found.st_mode) else "c",
        "major": os.major(found.st_rdev),
        "minor": os.minor(found.st_rdev),
        "fileMode": int(item.get("fileMode") or stat.S_IMODE(found.st_mode)),
        "uid": int(item.get("uid") or found.st_uid),
        "gid": int(item.get("gid") or found.st_gid),
    }
    return node, str(item.get("permissions") or "rw")
