"""The verbs of the command: each calls ``bayplan.app`` and prints what came of it."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from typing import Any

from bayplan import app
from bayplan.cli import parts, standing
from bayplan.cli.colour import style
from bayplan.cli.common import container_names as _container_names
from bayplan.cli.common import opened as _opened
from bayplan.cli.common import project as _project
from bayplan.cli.common import show as _print
from bayplan.cli.common import show_list
from bayplan.cli.common import stack as _stack
from bayplan.cli.converging import carry_out
from bayplan.cli.streams import detach_keys
from bayplan.errors import DeclarationError
from bayplan.models import Container, Image, ImageReference, Kind, PullPolicy, Stack
from bayplan.reconcile import render
from bayplan.reconcile.plan import Part, Plan
from bayplan.runtime.protocol import Observed


def plan(options: Namespace) -> int:
    """Print the plan."""
    part = parts.asked(options)
    with _opened(options) as (runtime, settings):
        made = app.plan_part(_stack(options), part, runtime, settings)
        if options.out is not None:
            app.save_plan(made, part, options.out, runtime)
    _print(options, render.as_json(made), render.as_text(made, style(options)))
    return 5 if options.detailed_exitcode and made.changed else 0


def apply(options: Namespace) -> int:
    """Plan, show, do."""
    part = parts.asked(options)
    if options.plan is not None:
        from bayplan.cli import bundles

        parts.refuse(part, options.plan)
        if bundles.is_bundle(options.plan):
            return bundles.apply_file(options, options.plan)
    watch = standing.begin(options)
    with _opened(options) as (runtime, settings):
        stack = _stack(options)

        def make(of: Part = part) -> Plan:
            return app.plan_part(stack, of, runtime, settings)

        kept = make if options.plan is None else app.kept_plan(options.plan, make, runtime)
        asked = {"on_failure": options.on_failure} if options.on_failure else {}
        code = carry_out(options, kept, runtime, settings.model_copy(update=asked), recovers=True)
    if watch is not None and code == 0:
        standing.end(watch, options, runtime)
    return code


def destroy(options: Namespace) -> int:
    """Remove a project. Its name is enough: the declaration may be gone."""
    target: Stack | str = options.project_name or ""
    if not target or options.images or options.file:
        target = _stack(options)
    with _opened(options) as (runtime, settings):
        asked = {"volumes": options.volumes, "images": options.images}
        return carry_out(options, lambda: app.plan_destroy(target, runtime, **asked), runtime, settings)


def status(options: Namespace) -> int:
    """Print what is there."""
    with _opened(options) as (runtime, _):
        found = app.status(_project(options), runtime).resources.values()
    items = sorted(found, key=lambda item: (list(Kind).index(item.actual.kind), item.id.name))
    show_list(options, [_status_json(item) for item in items], _STATUS, [_status_row(item) for item in items])
    return 0


def execute(options: Namespace) -> int:
    """Run a command in the first container of a service."""
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise DeclarationError("exec needs a command", hint="bayplan exec SERVICE COMMAND [ARGUMENT ...]")
    environment = {}
    for entry in options.env:
        key, equals, value = entry.partition("=")
        environment[key] = value if equals else os.environ.get(key, "")
    with _opened(options) as (runtime, _):
        options.service = [options.service]
        name = _container_names(options, runtime)[0]
        terminal = options.tty or (
            not options.no_tty and not options.json and sys.stdin.isatty() and sys.stdout.isatty()
        )
        result = runtime.exec(
            name,
            command,
            user=options.user,
            environment=environment,
            working_dir=options.workdir,
            tty=terminal and not options.detach,
            capture=options.json,
            detach=options.detach,
            privileged=options.privileged,
            detach_keys=detach_keys(options),
            stdin=None if options.interactive and not options.detach else b"",
        )
    if options.json:
        streams = {"stdout": result.stdout.decode(errors="replace"), "stderr": result.stderr.decode(errors="replace")}
        print(json.dumps({"exit_code": result.exit_code, **streams}))
    return result.exit_code


def pull(options: Namespace) -> int:
    """Fetch images: asks the registry for each, whatever its pull policy."""
    images = [_image(name) for name in options.image] or [item for item in _stack(options).images if not item.build]
    wanted = tuple(item.model_copy(update={"pull": PullPolicy.ALWAYS}) for item in images)
    with _opened(options) as (runtime, settings):
        app.mend_images(runtime, [item.name for item in wanted])
        return carry_out(options, lambda: app.plan_single(Stack(name="", images=wanted), runtime), runtime, settings)


def _image(name: str) -> Image:
    try:
        ImageReference.parse(name)
    except ValueError as error:
        raise DeclarationError(str(error), hint="such as registry.example/team/app:1.2") from error
    return Image(name=name)


def _status_json(item: Observed) -> dict[str, Any]:
    live = item.status.model_dump(mode="json")
    names = {"kind": item.actual.kind.value, "name": item.id.name, "id": item.handle, "project": item.project}
    return {**names, **live, "image_digest": item.image_digest, "defects": dict(item.defects), "notes": item.notes}


_STATUS = ("KIND", "NAME", "STATE", "ADDRESSES", "PORTS", "NOTES")


def _status_row(item: Observed) -> tuple[str, ...]:
    live = item.status
    text = live.state.value + (f" ({live.health.value})" if live.health.value != "none" else "")
    if live.exit_code is not None:
        text += f" exit code {live.exit_code}" + (", out of memory" if live.oom_killed else "")
    if live.restarts:
        text += f", restarts {live.restarts}"
    places = (*live.addresses.items(), *live.addresses_v6.items())
    where = ", ".join(f"{network} {address}" for network, address in places)
    declared = item.actual.ports if isinstance(item.actual, Container) else ()
    ports = ", ".join(live.ports or (str(port) for port in declared))
    return (item.actual.kind.value, item.id.name, text, where, ports, "; ".join((*item.defects, *item.notes)))
