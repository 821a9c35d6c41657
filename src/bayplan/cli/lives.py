"""start, stop, kill, pause, unpause, restart, rm, rename and wait."""

from __future__ import annotations

import json
import sys
from argparse import Namespace

from pydantic import TypeAdapter, ValidationError

from bayplan import app
from bayplan.cli.common import containers, lock_timeout, opened, show
from bayplan.errors import DeclarationError
from bayplan.models import Duration, Settings
from bayplan.models.types import ResourceName
from bayplan.reconcile.verbs import Command
from bayplan.runtime.protocol import LIVE, Runtime


def change(options: Namespace) -> int:
    """Do ``options.verb`` to the containers that are meant."""
    seconds = getattr(options, "timeout", None)
    asked = Command(
        {"rm": "remove"}.get(options.verb, options.verb),
        signal=getattr(options, "signal", "SIGKILL"),
        grace=None if seconds is None else Duration(seconds=seconds),
        force=getattr(options, "force", False),
        volumes=getattr(options, "volumes", False),
    )
    with opened(options) as (runtime, settings):
        chosen = containers(options, runtime)
        if not options.service and asked.verb in ("remove", "kill", "pause", "unpause"):
            # Without names: all to which it can be done.
            live = asked.verb != "remove"
            chosen = [item for item in chosen if (item.status.state in LIVE) is live or asked.force]
        return carry_out(options, asked, [item.id.name for item in chosen], runtime, settings)


def rename(options: Namespace) -> int:
    """Give one container another name."""
    try:
        TypeAdapter(ResourceName).validate_python(options.new_name)
    except ValidationError as error:
        raise DeclarationError(f"{options.new_name!r} is no name of a container") from error
    with opened(options) as (runtime, settings):
        options.service = [options.service]
        chosen = containers(options, runtime)
        if len(chosen) != 1:
            raise DeclarationError("rename takes one container", hint="name it, not its service")
        asked = Command("rename", new_name=options.new_name)
        return carry_out(options, asked, [chosen[0].id.name], runtime, settings)


def wait(options: Namespace) -> int:
    """Print the exit code of each as it ends."""
    with opened(options) as (runtime, _):
        codes = {}
        for item in containers(options, runtime):
            codes[item.id.name] = runtime.await_end(item.id.name)
            if not options.json:
                print(codes[item.id.name], flush=True)
    if options.json:
        print(json.dumps(codes))
    return 0


def carry_out(options: Namespace, asked: Command, names: list[str], runtime: Runtime, settings: Settings) -> int:
    """Do it and say to which it was done; 1 when it failed for one."""
    timeout = lock_timeout(options)
    done = app.command(asked, names, runtime, settings, lock_timeout=timeout)
    failed = {name: str(error) for name, error in done.failed.items()}
    show(options, {"verb": asked.verb, "done": list(done.names), "failed": failed}, "\n".join(done.names))
    if failed and not options.json:
        said = (text if name in text else f"{name}: {text}" for name, text in failed.items())
        print("\n".join(f"Error: {line}" for line in said), file=sys.stderr)
    return 1 if failed else 0
