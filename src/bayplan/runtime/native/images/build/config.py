"""Instructions that change only the image's configuration (OCI image configuration, "config")."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Mapping
from typing import Any

from bayplan.models import Duration
from bayplan.runtime.dockerfile.expand import pairs, split
from bayplan.runtime.dockerfile.instructions import Instruction, exec_form, kept

SHELL = ("/bin/sh", "-c")
_PORT = re.compile(r"^(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?$", re.IGNORECASE)
_CHECK_TIMES = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
}


def apply(  # noqa: PLR0912 - one branch an instruction
    item: Instruction,
    config: dict[str, Any],
    expand: Callable[[str], str],
    variables: Mapping[str, str],
    command_set: bool,
) -> bool:
    """Change ``config``; returns whether this stage has set a command. Raises ValueError for what is malformed."""
    match item.name:
        case "ENV":
            held = dict(entry.partition("=")[::2] for entry in config.get("Env") or ())
            held.update(pairs(item.text, variables, item.escape))
            config["Env"] = [f"{key}={value}" for key, value in held.items()]
        case "LABEL":
            config["Labels"] = {**(config.get("Labels") or {}), **dict(pairs(item.text, variables, item.escape))}
        case "USER":
            config["User"] = expand(item.text)
        case "EXPOSE":
            words = [word for raw in split(item.text, item.escape) for word in expand(raw).split()]
            found: dict[str, Any] = {port: {} for word in words for port in _ports(word)}
            config["ExposedPorts"] = {**(config.get("ExposedPorts") or {}), **found}
        case "VOLUME":
            words = [expand(word) for word in item.words or split(item.text, item.escape)]
            if not all(words):
                raise ValueError("a path is empty")
            config["Volumes"] = {**(config.get("Volumes") or {}), **{word: {} for word in words}}
        case "STOPSIGNAL":
            config["StopSignal"] = _signal(expand(item.text))
        case "SHELL":
            if not item.words:
                raise ValueError('is a list in JSON, such as ["/bin/bash", "-c"]')
            config["Shell"] = list(item.words)
        case "ENTRYPOINT":
            config["Entrypoint"] = _command(item, config)
            if not command_set:
                config.pop("Cmd", None)
        case "CMD":
            config["Cmd"] = _command(item, config)
            return True
        case "ONBUILD":
            config["OnBuild"] = [*(config.get("OnBuild") or ()), kept(item)]
        case "HEALTHCHECK":
            config["Healthcheck"] = _healthcheck(item, config)
    return command_set


def _command(item: Instruction, config: Mapping[str, Any]) -> list[str]:
    return list(item.words) if item.words is not None else [*(config.get("Shell") or SHELL), item.text]


def _ports(word: str) -> list[str]:
    found = _PORT.match(word)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not found or not 1 <= first <= last <= 65535:
        raise ValueError(f"{word!r} is no port, such as 80, 80/udp or 8000-8010")
    return [f"{port}/{(found[3] or 'tcp').lower()}" for port in range(first, last + 1)]


def _signal(name: str) -> str:
    known = {item.name for item in signal.Signals}
    if not name.isdecimal() and f"SIG{name.upper().removeprefix('SIG')}" not in known:
        raise ValueError(f"unknown signal {name!r}; see signal(7)")
    return name


def _healthcheck(item: Instruction, config: Mapping[str, Any]) -> dict[str, Any]:
    word, _, rest = item.text.partition(" ")
    if word.upper() == "NONE":
        return {"Test": ["NONE"]}
    if word.upper() != "CMD" or not rest.strip():
        raise ValueError("is NONE, or CMD and a command")
    words = exec_form(rest.strip())
    test = ["CMD", *words] if words is not None else ["CMD-SHELL", rest.strip()]
    found: dict[str, Any] = {"Test": test}
    for flag, value in item.flags:
        if flag == "retries":
            if not value.isdecimal() or not int(value):
                raise ValueError(f"--retries={value} is no number of tries")
            found["Retries"] = int(value)
        else:
            found[_CHECK_TIMES[flag]] = round(Duration.parse(value).total_seconds() * 1e9)
    return found
