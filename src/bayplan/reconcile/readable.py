"""Changed fields as people read them: only what differs, spelled as in a Compose file. The plan's JSON stays whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bayplan.reconcile.plan import FieldChange
from bayplan.reconcile.reasons import IMAGE

Row = tuple[str, str, str]
"""A path and its two values as texts."""
_UNSET: tuple[Any, ...] = (None, [], {}, "")
_NAMES = {
    "mounts": "volumes",
    "cdi_devices": "devices",
    "resources[memory]": "mem_limit",
    "resources[memory_reservation]": "mem_reservation",
    "resources[memory_swap]": "memswap_limit",
    "resources[memory_swappiness]": "mem_swappiness",
    "resources[pids]": "pids_limit",
    "resources[blkio]": "blkio_config",
    "logging[max_size]": "logging[max-size]",
    "logging[max_file]": "logging[max-file]",
}
"""Fields to what Compose calls them, where it differs."""
_RESOURCE = re.compile(r"resources\[(cpu\w*|cpus|cpuset\w*|oom_kill_disable)\]")
_KEYS = ("network", "target", "path", "subnet", "source", "name")
"""By what the entries of a list are told apart, the first that all have."""
_UNORDERED = frozenset(
    ("ports", "cap_add", "cap_drop", "group_add", "security_opt", "devices", "volumes_from", "expose", "aliases")
)


def rows(change: FieldChange) -> list[Row]:
    """A row for each part of a field that differs; at least one."""
    if change.path == IMAGE:
        return [(IMAGE, _digest(change.before), _digest(change.after))]
    found = [
        (path, value(before), value(after))
        for path, before, after in _differences(_name(change.path), change.before, change.after)
    ]
    return found or [(_name(change.path), value(change.before), value(change.after))]


def _digest(given: Any) -> str:
    """As much of a digest as people compare; of a build that has yet to run nobody knows it."""
    text = str(given or "(unset)")
    return "(what the build gives)" if text.startswith("fingerprint:") else text[:19]


def value(given: Any) -> str:
    """A value in a line: maps and lists as flow YAML, without what is not set."""
    if given is None:
        return "(unset)"
    if isinstance(given, str):
        return repr(given)
    return _flow(given)


def _name(path: str) -> str:
    if found := _RESOURCE.fullmatch(path):
        return found[1]
    head, bracket, rest = path.partition("[")
    return _NAMES.get(path) or f"{_NAMES.get(head, head)}{bracket}{rest}"


def _flow(given: Any) -> str:
    if isinstance(given, Mapping):
        return f"{{{', '.join(f'{key}: {_flow(item)}' for key, item in _set(given).items())}}}"
    if isinstance(given, (list, tuple)):
        return f"[{', '.join(map(_flow, given))}]"
    if isinstance(given, bool):
        return "true" if given else "false"
    return str(given)


def _set(given: Mapping[str, Any]) -> dict[str, Any]:
    """What of a map says something: a number of 0 and a flag that is off are defaults of the models."""
    return {key: item for key, item in given.items() if item not in _UNSET and item is not False and item != 0}


def _differences(path: str, before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    if before == after or (before in _UNSET and after in _UNSET):
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys((*before, *after)):
            yield from _differences(f"{path}.{key}", before.get(key), after.get(key))
        return
    ours, theirs = before or [], after or []
    key = _key(ours, theirs) if isinstance(ours, list) and isinstance(theirs, list) else None
    if key is not None:
        old, new = ({str(item[key]): item for item in items} for items in (ours, theirs))
        for name in dict.fromkeys((*old, *new)):
            yield from _entry(f"{path}[{name}]", key, old.get(name), new.get(name))
        if list(old) != list(new) and old.keys() == new.keys():
            yield path, list(old), list(new)
        return
    if _field(path) in _UNORDERED and isinstance(before, list) and isinstance(after, list):
        gone, come = [item for item in before if item not in after], [item for item in after if item not in before]
        yield path, gone or None, come or None
        return
    yield path, before, after


def _entry(path: str, key: str, before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    """One entry of a list, which came, went or changed."""
    if before is None or after is None:
        if path.startswith("volumes[") and (short := _short(before or after)):
            yield path, before and short, after and short
            return
        old, new = (
            {name: one for name, one in item.items() if name != key} if item else None for item in (before, after)
        )
        yield path, old, new
        return
    yield from _differences(path, before, after)


def _short(mount: Mapping[str, Any]) -> str:
    """A volume or bind in Compose's short syntax; empty when that does not say all."""
    usual = {"propagation": "rprivate", "recursive": "enabled"}
    more = {name for name, one in _set(mount).items() if usual.get(name) != one}
    if mount.get("type") not in ("volume", "bind") or more - {"type", "source", "target", "read_only"}:
        return ""
    return f"{mount['source']}:{mount['target']}" + (":ro" if mount["read_only"] else "")


def _key(before: Sequence[Any], after: Sequence[Any]) -> str | None:
    """What tells the entries apart, when they are maps that have it and it is another in each."""
    every = [*before, *after]
    if not every or not all(isinstance(item, Mapping) for item in every):
        return None
    for key in _KEYS:
        lists = [[item.get(key) for item in items] for items in (before, after)]
        if all(name not in _UNSET for names in lists for name in names) and all(
            len(set(map(str, names))) == len(names) for names in lists
        ):
            return key
    return None


def _field(path: str) -> str:
    return re.split(r"[.\[]", path)[-1] if path[-1:] != "]" else path.partition("[")[0]
