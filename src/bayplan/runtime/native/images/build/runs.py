"""RUN lowered to a step: the command, its variables, what is mounted for it. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from bayplan.errors import UnsupportedError
from bayplan.models import Build, Entitlement
from bayplan.runtime.dockerfile.instructions import Instruction
from bayplan.runtime.native.images.build import config, copies, platforms, runmounts
from bayplan.runtime.native.images.build import steps as model
from bayplan.runtime.native.images.build.steps import Run

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
PROXIES = frozenset((*_PROXIES, *(name.lower() for name in _PROXIES)))
SCRIPTS = "/dev/pipes"
"""Where a heredoc with ``#!`` lies while it runs: in the container's /dev, so that no layer holds it."""


class Stage(copies.Stage, Protocol):
    """The stage a command runs in."""

    build: Build
    stage: model.Stage


def lower(item: Instruction, stage: Stage) -> Run:
    """The step. Raises DeclarationError, NotBuiltYetError, NotFoundError, ValueError."""
    settings = stage.stage.config
    if reason := platforms.obstacle(stage.stage.platform):
        what = f"a stage for {stage.stage.platform} cannot run programs on this host, {platforms.host()}: {reason}"
        raise UnsupportedError(f"RUN: {what}", where=item.where, hint=platforms.EMULATOR)
    variables = stage.variables()
    hidden = {name: value for name, value in stage.build.args.items() if name in PROXIES and name not in variables}
    arguments, script = _command(item, settings)
    return Run(
        item,
        arguments,
        tuple(f"{key}={value}" for key, value in variables.items()),
        tuple(f"{key}={value}" for key, value in hidden.items()),
        str(settings.get("User") or ""),
        stage.directory(),
        script,
        runmounts.lower(item, stage),
        _network(item, stage.build),
        _is_insecure(item, stage.build),
        tuple(sorted(stage.build.extra_hosts.items())),
    )


def _network(item: Instruction, build: Build) -> str:
    name = item.flag("network") or build.network
    if name not in ("default", "none", "host"):
        raise item.wrong(f"--network={name} is none, default or host")
    if name == "host" and build.network != "host":
        _check_allowed(item, build, Entitlement.HOST_NETWORK, "--network=host")
    return name


def _is_insecure(item: Instruction, build: Build) -> bool:
    name = item.flag("security") or "sandbox"
    if name not in ("sandbox", "insecure"):
        raise item.wrong(f"--security={name} is sandbox or insecure")
    if name == "insecure":
        _check_allowed(item, build, Entitlement.INSECURE, "--security=insecure")
    return name == "insecure"


def _check_allowed(item: Instruction, build: Build, wanted: Entitlement, flag: str) -> None:
    if wanted not in build.entitlements:
        hint = f"bayplan build --allow {wanted}, or build.entitlements of the service"
        raise UnsupportedError(f"RUN: {flag} is not allowed to this build", where=item.where, hint=hint)


def _command(item: Instruction, settings: Mapping[str, Any]) -> tuple[tuple[str, ...], str | None]:
    """What to run, and the text of the program that a heredoc is.

    A heredoc alone is the command itself, for the interpreter that its ``#!`` names or else the shell; with anything
    around it the shell gets the lines as they stand (Dockerfile reference, "Here-Documents").
    """
    if item.words is not None:
        return item.words, None
    shell = tuple(settings.get("Shell") or config.SHELL)
    if len(item.heredocs) == 1 and len(item.text.split()) == 1 and item.text.startswith("<<"):
        (own,) = item.heredocs
        if own.data.startswith("#!"):
            return (f"{SCRIPTS}/{own.name}",), own.data
        return (*shell, own.data), None
    return (*shell, item.text + "".join(here.written() for here in item.heredocs)), None
