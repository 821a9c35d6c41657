# Copyright: the Bayplan contributors. Apache-2.0
"""Tasks in the words of community.docker and containers.podman: put into ours, or answered with what to do instead."""

from __future__ import annotations

from typing import Any

from ansible_collections.bayplan.containers.plugins.module_utils._foreign_options import (
    ANY,
    OF_MODULES,
    OPTIONS,
    REFUSED,
    VALUES,
)

WORDS = {"true": True, "yes": True, "false": False, "no": False}


def taken_out(params: dict[str, Any], known: dict[str, Any]) -> tuple[str, str] | None:
    """Take foreign options out of ``params``; the first that asks for something else, as a sentence and a hint."""
    module = str(params.get("_ansible_module_name", "")).rpartition(".")[2]
    items = params.get("containers") if module == "container" else None
    every = [params, *(item for item in items if isinstance(item, dict))] if isinstance(items, list) else [params]
    return next(filter(None, [_taken_out(module, one, known) for one in every]), None)


def _taken_out(module: str, params: dict[str, Any], known: dict[str, Any]) -> tuple[str, str] | None:
    _translated(module, params)
    found = _refused_value(module, params)
    for option, said in {**OPTIONS, **OF_MODULES.get(module, {})}.items():
        group, name = option.rpartition(".")[::2]
        values, spec = (params.get(group), known.get(group, {}).get("options", {})) if group else (params, known)
        if not isinstance(values, dict) or name not in values or name in spec:
            continue
        value, (taken, instead) = values.pop(name), said
        if found is None and not _is_taken(value, taken):
            found = f"{option} of other collections is not taken here", instead
    return found


def _is_taken(value: Any, taken: tuple[Any, ...]) -> bool:
    """Nothing at all asks for nothing."""
    meant = WORDS.get(value.lower(), value) if isinstance(value, str) else value
    return ANY in taken or meant in taken or meant is None or meant in ("", [], {})


def _refused_value(module: str, params: dict[str, Any]) -> tuple[str, str] | None:
    for option, values in REFUSED.get(module, {}).items():
        value = params.get(option)
        if isinstance(value, str) and value in values:
            params.pop(option)
            return f"{option}: {value} of other collections is not taken here", values[value]
    return None


def _translated(module: str, params: dict[str, Any]) -> None:
    """What means the same as words of ours."""
    for option, values in VALUES.get(module, {}).items():
        value = params.get(option)
        if isinstance(value, str) and value in values:
            params[option] = values[value]
    if module == "image":
        _image(params)
    elif module == "prune":
        _prune(params)


def _image(params: dict[str, Any]) -> None:
    """``pull`` with a platform, and ``force_source``: from its source again, whatever is here."""
    if isinstance(params.get("pull"), dict) and set(params["pull"]) <= {"platform"}:
        platform = params.pop("pull").get("platform")
        params.setdefault("platform", platform)
    again = params.pop("force_source", None)
    if not _is_taken(again, (False,)):
        if params.get("source") == "load":
            params["force"] = True
        elif params.get("source", "pull") == "pull":
            params["pull"] = "always"


def _prune(params: dict[str, Any]) -> None:
    """The filters that name what options of ours name."""
    for option, key, value, ours in (
        ("images_filters", "dangling", False, "unused_images"),
        ("volumes_filters", "all", True, "named_volumes"),
    ):
        given = params.get(option)
        if not isinstance(given, dict) or set(given) != {key}:
            continue
        meant = given[key]
        meant = WORDS.get(meant.lower(), meant) if isinstance(meant, str) else meant
        if isinstance(meant, bool) or meant in (0, 1):
            del params[option]
            if bool(meant) is value and params.get(option.partition("_")[0]):
                params[ours] = True
