"""ps and port: containers as lines, filtered and formed as `docker ps` has it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from bayplan.cli.common import containers, is_of_host, opened, say, show, table
from bayplan.cli.formatted import formatted
from bayplan.errors import DeclarationError, NotFoundError
from bayplan.models import Container
from bayplan.runtime.protocol import LIVE, Health, Observed

_HEAD = ("NAME", "IMAGE", "SERVICE", "STATUS", "PORTS")


def ps(options: Namespace) -> int:
    """List them."""
    tests = [_test(text) for text in options.filter]
    everywhere = is_of_host(options)
    with opened(options) as (runtime, _):
        found = runtime.containers_there() if everywhere else containers(options, runtime, none_too=True)
    found = sorted(found, key=lambda item: (item.project, item.id.name))
    # As with docker, a state that is asked for is looked for among all.
    everything = options.all or any(text.startswith(("status=", "exited=")) for text in options.filter)
    chosen = [item for item in found if everything or item.status.state in LIVE]
    chosen = [item for item in chosen if all(test(item) for test in tests)]
    rows = [_row(item) for item in chosen]
    if options.quiet:
        show(options, [item.handle for item in chosen], "\n".join(item.handle for item in chosen))
    elif options.services:
        names = sorted({row["service"] for row in rows})
        show(options, names, "\n".join(names))
    elif options.format:
        say(
            formatted(
                options.format, [_shown(item) for item in chosen], ("Name", "Image", "Service", "Status", "Ports")
            )
        )
    else:
        head = (*_HEAD[:2], "PROJECT", *_HEAD[2:]) if everywhere else _HEAD
        lines = [tuple(str(row[name.lower()]) for name in head) for row in rows]
        show(options, rows, table([head, *lines]))
    return 0


def port(options: Namespace) -> int:
    """Print where the ports of one container are reached on the host."""
    with opened(options) as (runtime, _):
        options.service = [options.service]
        item = containers(options, runtime)[0]
    pairs = [entry.split("->") for entry in item.status.ports]
    wanted = options.port if "/" in (options.port or "/") else f"{options.port}/tcp"
    chosen = [(inside, outside) for outside, inside in pairs if wanted in (None, inside)]
    if wanted and not chosen:
        raise NotFoundError(
            f"container {item.id.name} publishes no port {wanted}", hint="see `bayplan port` without one"
        )
    text = (outside if wanted else f"{inside} -> {outside}" for inside, outside in chosen)
    show(options, [{"target": inside, "published": outside} for inside, outside in chosen], "\n".join(text))
    return 0


def _row(item: Observed) -> dict[str, Any]:
    held = item.actual
    assert isinstance(held, Container)
    ports = ", ".join(item.status.ports or (str(port) for port in held.ports))
    names = {"name": held.name, "image": held.image, "service": held.service, "project": item.project}
    return {
        **names,
        "status": phrase(item),
        "ports": ports,
        "id": item.handle,
        "state": item.status.state.value,
    }


def _shown(item: Observed) -> dict[str, Any]:
    """The fields of a template, named as Docker and Compose name them."""
    held, live = item.actual, item.status
    assert isinstance(held, Container)
    row = _row(item)
    fields = ("Name", "Image", "Service", "Status", "Ports", "State")
    found: dict[str, Any] = {name: row[name.lower()] for name in fields}
    return {
        **found,
        "ID": item.handle[:12],
        "Names": held.name,
        "Project": item.project,
        "Command": " ".join((*(held.entrypoint or ()), *(held.command or ()))),
        "Health": "" if live.health is Health.NONE else live.health.value,
        "ExitCode": live.exit_code or 0,
        "Labels": dict(held.labels),
        "Networks": ",".join(one.network for one in held.networks),
        "Mounts": ",".join(one.target for one in held.mounts),
        "RunningFor": _age((datetime.now(UTC) - live.started_at).total_seconds()) if live.started_at else "",
    }


def _test(text: str) -> Callable[[Observed], bool]:
    """A filter ``KEY=VALUE`` as a question. Raises DeclarationError for one that is unknown."""
    key, equals, value = text.partition("=")
    if not equals or key not in _FILTERS:
        raise DeclarationError(f"--filter {text!r} is none", hint=f"KEY=VALUE, KEY is one of {', '.join(_FILTERS)}")
    return lambda item: _FILTERS[key](item, value)


def _container(item: Observed) -> Container:
    assert isinstance(item.actual, Container)
    return item.actual


def _label(item: Observed, value: str) -> bool:
    name, equals, wanted = value.partition("=")
    labels = _container(item).labels
    return name in labels and (not equals or labels[name] == wanted)


_FILTERS: Mapping[str, Callable[[Observed, str], bool]] = {
    "id": lambda item, value: item.handle.startswith(value),
    "name": lambda item, value: value in item.id.name,
    "service": lambda item, value: _container(item).service == value,
    "status": lambda item, value: item.status.state.value == value,
    "health": lambda item, value: item.status.health.value == value,
    "exited": lambda item, value: str(item.status.exit_code) == value,
    "label": _label,
    "ancestor": lambda item, value: _container(item).image == value or item.image_digest == value,
    "network": lambda item, value: value in [one.network for one in _container(item).networks],
    "volume": lambda item, value: any(
        value in (one.target, getattr(one, "source", "")) for one in _container(item).mounts
    ),
    "publish": lambda item, value: any(f":{value.partition('/')[0]}->" in one for one in item.status.ports),
}


def phrase(item: Observed) -> str:
    """What it is doing, and since when."""
    live = item.status
    if live.state in LIVE and live.started_at:
        age = _age((datetime.now(UTC) - live.started_at).total_seconds())
        notes = [live.health.value] if live.health is not Health.NONE else []
        notes += [live.state.value] if live.state.value != "running" else []
        return f"Up {age}" + "".join(f" ({note})" for note in notes)
    if live.exit_code is None:
        return live.state.value.capitalize()
    ended = live.finished_at and _age((datetime.now(UTC) - live.finished_at).total_seconds())
    return f"Exited ({live.exit_code})" + (f" {ended} ago" if ended else "")


def _age(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(max(0, seconds))} seconds"
