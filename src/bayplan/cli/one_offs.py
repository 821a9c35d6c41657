"""run: one command in a container of its own, beside those of the service."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bayplan import app
from bayplan.cli.common import opened, stack
from bayplan.cli.progress import Ticker
from bayplan.cli.streams import detach_keys
from bayplan.errors import ConflictError, DeclarationError
from bayplan.load.compose.mounts import MountReader
from bayplan.load.compose.ports import read_ports
from bayplan.load.compose.yaml_text import parse, place
from bayplan.models import Container, Duration, Settings, Stack
from bayplan.models.types import ResourceName
from bayplan.reconcile import one_off
from bayplan.reconcile.plan import Extent, Plan
from bayplan.reconcile.verbs import Command
from bayplan.runtime.protocol import Runtime, Scope

_WAITS = {"service_completed_successfully": Duration(hours=1)}
_USUAL_WAIT = Duration(minutes=5)


def add(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("--rm", action="store_true", help="remove it when it has ended")
    parser.add_argument("-d", "--detach", action="store_true", help="do not wait for its end; print its name")
    parser.add_argument("-e", "--env", action="append", default=[], metavar="KEY=VALUE", help="environment variable")
    parser.add_argument("-l", "--label", action="append", default=[], metavar="KEY=VALUE", help="label")
    parser.add_argument("-u", "--user", help="user[:group] in the container")
    parser.add_argument("-w", "--workdir", help="directory the command starts in")
    parser.add_argument("-v", "--volume", action="append", default=[], metavar="SOURCE:TARGET", help="another mount")
    parser.add_argument("-p", "--publish", action="append", default=[], metavar="PORT", help="publish a port")
    parser.add_argument("-P", "--service-ports", action="store_true", help="publish the ports of the service")
    parser.add_argument("-i", "--interactive", action=argparse.BooleanOptionalAction, default=True, help="pass stdin")
    parser.add_argument("-T", "--no-tty", action="store_true", help="no terminal even when there is one")
    parser.add_argument("--publish-all", action="store_true", help="publish every port that it or its image exposes")
    parser.add_argument("--detach-keys", default="ctrl-p,ctrl-q", metavar="KEYS", help="ctrl-p,ctrl-q; empty for none")
    parser.add_argument("--entrypoint", help="instead of the service's; words as in a shell")
    parser.add_argument("--name", help="its name")
    parser.add_argument("--no-deps", action="store_true", help="start nothing that the service depends on")
    parser.add_argument("--use-aliases", action="store_true", help="peers find it by the service's names too")
    parser.add_argument("--lock-timeout", metavar="DURATION", help="wait at most this long for another change")
    parser.add_argument("service", help="service")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="command and its arguments; the service's when none")


def run(options: Namespace) -> int:
    """Make what it needs, start it with the caller's streams, and give its exit code."""
    whole, keys, left = stack(options), detach_keys(options), False
    terminal = not (options.no_tty or options.detach) and sys.stdin.isatty() and sys.stdout.isatty()
    made = one_off.container(
        whole,
        options.service,
        _changes(options, whole, terminal=terminal),
        aliases=options.use_aliases,
        ports=options.service_ports,
    )
    needed = one_off.part(whole, made, dependencies=not options.no_deps)
    scope = Scope(names=tuple(item.id for item in needed.resources()))
    services = {item.service for item in needed.containers} - {made.service}
    beside = one_off.of_services(whole, sorted(services)) if services else None
    with opened(options) as (runtime, settings):
        if runtime.observe(Scope(names=(made.id,))).get(made.id) is not None:
            raise ConflictError(f"a container named {made.name} exists", hint="remove it first, or give another name")

        def plan() -> Plan:
            planned = app.plan(needed, runtime, scope=scope, stopped=[made.id], settings=settings)
            # It is no part of what is declared, other than what it depends on.
            return planned.model_copy(update={"stack": beside, "extent": Extent.SERVICES}) if beside else planned

        limit = Duration.parse(options.lock_timeout) if options.lock_timeout else None
        with Ticker(quiet=options.json) as ticker:
            told: dict[str, Any] = {"on_event": ticker.event, "report": ticker.report}
            _, outcome = app.converge(plan, runtime, settings, lock_timeout=limit, **told)
        outcome.raise_failure()
        try:
            _await(needed, runtime)
            if options.detach:
                _do(Command("start"), made, runtime, settings)
                print(made.name)
                return 0
            ended = runtime.start_attached(made.name, stdin=options.interactive, detach_keys=keys)
            left = ended is None
        finally:
            if options.rm and not options.detach and not left:
                _do(Command("remove", force=True, volumes=True), made, runtime, settings)
    if left:
        print(f"left {made.name} running: bayplan attach {made.name}", file=sys.stderr)
    return ended or 0


def _await(needed: Stack, runtime: Runtime) -> None:
    """Until what the command depends on is as far as the service wants it."""
    made = needed.containers[-1]
    for dependency in made.depends_on:
        for item in needed.containers_of(dependency.service):
            limit = _WAITS.get(dependency.condition.value, _USUAL_WAIT)
            runtime.wait(item.name, dependency.condition.value, limit)


def _do(asked: Command, made: Container, runtime: Runtime, settings: Settings) -> None:
    for error in app.command(asked, [made.name], runtime, settings).failed.values():
        raise error


def _changes(options: Namespace, whole: Stack, *, terminal: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"tty": terminal, "stdin_open": options.interactive and not options.detach}
    found["stdin_once"] = found["stdin_open"]
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if command:
        found["command"] = tuple(command)
    if options.entrypoint is not None:
        found["entrypoint"] = tuple(shlex.split(options.entrypoint))
        found.setdefault("command", ())
    for option, field in (("user", "user"), ("workdir", "working_dir"), ("name", "name")):
        if (given := getattr(options, option)) is not None:
            found[field] = given
    if options.name is not None:
        try:
            TypeAdapter(ResourceName).validate_python(options.name)
        except ValidationError as error:
            raise DeclarationError(f"{options.name!r} is no name of a container") from error
    found["environment"] = _pairs(options.env, os.environ)
    found["labels"] = _pairs(options.label, {})
    if options.publish_all:
        found["publish_all_ports"] = True
    if options.publish:
        found["ports"] = read_ports(_node(options.publish, "-p"))
    if options.volume:
        names = {item.name: item.name for item in whole.volumes}
        names |= {name.removeprefix(f"{whole.name}_"): name for name in names}
        reader = MountReader(Path.cwd(), str(Path.home()), names, options.name or "run")
        found["mounts"] = reader.read(_node({"volumes": options.volume}, "-v"))
    return found


def _pairs(given: list[str], outer: Any) -> dict[str, str]:
    pairs = (text.partition("=") for text in given)
    return {key: value if equals else outer.get(key, "") for key, equals, value in pairs}


def _node(value: Any, label: str) -> Any:
    import json

    return place(parse(json.dumps(value), label)[0])
