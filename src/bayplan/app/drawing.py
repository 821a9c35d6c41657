"""``graph``: an environment as a drawing, in the DOT language. Pure; ``system.graphviz`` makes a picture of it.

From left to right: ports of the host, services, networks and volumes. A service's colour says what its containers do,
and its text says it too. What a plan would do stands in the nodes it would do it to.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence

from bayplan.app import parts
from bayplan.models import Kind, ResourceId, Stack, VolumeMount
from bayplan.reconcile.plan import Action, Plan
from bayplan.reconcile.style import escaped
from bayplan.runtime.protocol import Snapshot

_FONT = "DejaVu Sans,Helvetica,Arial,sans-serif"
_INK, _FAINT, _LINE = "#1f2933", "#616e7c", "#9aa5b1"
_STATES = {
    "running": ("#e3f9e5", "#207227"),
    "waiting": ("#fff8e6", "#a35200"),
    "broken": ("#ffe3e3", "#ab091e"),
    "absent": ("#f5f7fa", "#616e7c"),
}
"""Ground and ink by how a service is."""
_SIGNS = {
    **dict.fromkeys((Action.CREATE, Action.PULL, Action.BUILD), ("+", "#207227")),
    **dict.fromkeys((Action.UPDATE, Action.HEAL, Action.RESTART, Action.TAG), ("~", "#a35200")),
    **dict.fromkeys((Action.START, Action.STOP), ("▸", "#0b69a3")),
    Action.RECREATE: ("±", "#8719e0"),
    Action.DELETE: ("-", "#ab091e"),
}
_NETWORKS = ("#0b69a3", "#8719e0", "#0c6b58", "#a30664", "#7c5e10", "#3e4c59", "#1f75cb", "#8d2b0b")
"""Colours of networks, one after the other."""
_VOLUME, _PORT = "#8d2b0b", "#3e4c59"
_LONGEST = 44
_MANY = 12
"""Services, above which lines to their networks would cover the drawing: the names in their nodes say it then."""


def dot(title: str, snapshot: Snapshot, stack: Stack | None = None, plan: Plan | None = None) -> str:
    """The drawing of a project, as it is and as ``stack`` declares it; with what ``plan`` would do.

    The same environment gives the same text.
    """
    services = parts.services_of(snapshot, stack)
    networks = parts.names_of(Kind.NETWORK, snapshot, stack)
    volumes = parts.names_of(Kind.VOLUME, snapshot, stack)
    colours = {name: _NETWORKS[position % len(_NETWORKS)] for position, name in enumerate(networks)}
    plans = {step.resource: step.action for step in plan.steps} if plan else {}
    heading = _title(title, services, networks, volumes, plan)
    lines = [
        "digraph bayplan {",
        f'graph [rankdir=LR, bgcolor="white", fontname="{_FONT}", fontsize=16, fontcolor="{_INK}", labelloc=t,',
        f"  labeljust=l, nodesep=0.22, ranksep=1.1, pad=0.35, label=<{heading}>];",
        f'node [fontname="{_FONT}", fontsize=11, fontcolor="{_INK}"];',
        f'edge [fontname="{_FONT}", fontsize=9, fontcolor="{_FAINT}", color="{_LINE}", penwidth=1.2, arrowsize=0.7];',
        *(line for item in services for line in _service(item, plans, colours, lines=len(services) <= _MANY)),
        "{rank=max",
        *(_network(name, snapshot, plans, colours[name]) for name in networks),
        *(_volume(name, snapshot, plans) for name in volumes),
        *(_id("service", item.name) for item in _alone(services) if len(services) > _MANY),
        "}",
        *_dependencies(services),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _title(
    title: str, services: Sequence[object], networks: Sequence[str], volumes: Sequence[str], plan: Plan | None
) -> str:
    counted = ", ".join(
        f"{len(items)} {word}{'s' * (len(items) != 1)}"
        for items, word in ((services, "service"), (networks, "network"), (volumes, "volume"))
    )
    second = counted if plan is None else f"{counted} — plan: {_counts(plan)}"
    faint = f'<font point-size="10" color="{_FAINT}">{_text(second, 240)}</font>'
    return f'<b>{_text(title, 120)}</b><br align="left"/>{faint}<br align="left"/><br/>'


def _counts(plan: Plan) -> str:
    return ", ".join(f"{count} to {action}" for action, count in plan.counts.items()) or "nothing to do"


def _service(
    item: parts.Service, plans: Mapping[ResourceId, Action], colours: Mapping[str, str], *, lines: bool
) -> Iterator[str]:
    ground, ink = _STATES[parts.how(item)]
    first = item.containers[0]
    planned = {plans[one.id] for one in (*item.containers, *(there.actual for there in item.there)) if one.id in plans}
    networks = list(dict.fromkeys(place.network for one in item.containers for place in one.networks))
    rows = [
        f'<font point-size="13"><b>{_text(item.name)}</b></font>',
        f'<font point-size="9" color="{_FAINT}">{_text(first.image)}</font>',
        f'<font color="{ink}">{_text(parts.state(item))}</font>',
        *([_chips(networks, colours)] if networks and not lines else []),
        *(_planned(action) for action in sorted(planned)),
    ]
    table = _table(rows, ground, _border(planned, ink), 2 if planned else 1)
    node = _id("service", item.name)
    yield f"{node} [shape=plain, label=<{table}>];"
    for text in (port.replace("->", " → ") for port in parts.ports(item)):
        port = _id("port", text)
        look = f'shape=box, style="rounded,filled", fillcolor="white", color="{_PORT}", fontsize=10'
        yield f"{port} [{look}, label=<{_text(text)}>];"
        yield f'{port} -> {node} [color="{_PORT}"];'
    for name in networks if lines else ():
        yield f'{node} -> {_id("network", name)} [dir=none, color="{colours.get(name, _LINE)}"];'
    if first.network_mode:
        mode = _id("mode", first.network_mode)
        label = _text(f"network of {first.network_mode}")
        yield f'{mode} [shape=box, style="rounded,dashed", color="{_LINE}", label=<{label}>];'
        yield f'{node} -> {mode} [dir=none, style=dashed, color="{_LINE}"];'
    mounts = {mount.source: mount for one in item.containers for mount in one.mounts if isinstance(mount, VolumeMount)}
    for name, mount in mounts.items():
        label = f"{mount.target}{' (read-only)' if mount.read_only else ''}"
        look = f'dir=none, style=dashed, color="{_VOLUME}"'
        yield f"{node} -> {_id('volume', name)} [{look}, label=<{_text(label)}>];"


def _network(name: str, snapshot: Snapshot, plans: Mapping[ResourceId, Action], colour: str) -> str:
    wanted = ResourceId(kind=Kind.NETWORK, name=name)
    item = snapshot.get(wanted)
    notes = [] if item else ["not there"]
    notes += ["defect"] if item and item.defects else []
    look = f'shape=box, style="rounded,filled", fillcolor="#f0f8ff", penwidth=2, color="{colour}"'
    return _other("network", wanted, notes, plans, look)


def _volume(name: str, snapshot: Snapshot, plans: Mapping[ResourceId, Action]) -> str:
    wanted = ResourceId(kind=Kind.VOLUME, name=name)
    notes = [] if snapshot.get(wanted) else ["not there"]
    look = f'shape=cylinder, style=filled, fillcolor="#fff3ec", color="{_VOLUME}"'
    return _other("volume", wanted, notes, plans, look)


def _other(kind: str, wanted: ResourceId, notes: Iterable[str], plans: Mapping[ResourceId, Action], look: str) -> str:
    ink = _STATES["absent" if plans.get(wanted) is Action.CREATE else "broken"][1]
    rows = [
        f'<font point-size="9" color="{_FAINT}">{kind}</font>',
        _text(wanted.name),
        *(f'<font point-size="9" color="{ink}">{_text(note)}</font>' for note in notes),
        *(_planned(plans[wanted]) for _ in range(wanted in plans)),
    ]
    cells = "".join(f"<tr><td>{row}</td></tr>" for row in rows)
    table = f'<table border="0" cellspacing="0" cellpadding="1">{cells}</table>'
    return f'{_id(kind, wanted.name)} [{look}, margin="0.12,0.05", label=<{table}>];'


def _dependencies(services: Sequence[parts.Service]) -> Iterator[str]:
    known = {item.name for item in services}
    for item in services:
        for dependency in item.containers[0].depends_on:
            if dependency.service in known:
                yield (
                    f"{_id('service', item.name)} -> {_id('service', dependency.service)}"
                    f' [color="{_FAINT}", style=dotted, arrowhead=vee, tooltip="depends on"];'
                )


def _alone(services: Sequence[parts.Service]) -> Iterator[parts.Service]:
    """Services without a line to anything but a network: they would stand anywhere, and stand in a column instead."""
    needed = {one.service for item in services for one in item.containers[0].depends_on}
    for item in services:
        mounts = any(isinstance(mount, VolumeMount) for one in item.containers for mount in one.mounts)
        if not (mounts or parts.ports(item) or item.containers[0].depends_on or item.name in needed):
            yield item


def _chips(networks: Sequence[str], colours: Mapping[str, str]) -> str:
    """The networks that a service is on, each with a mark of its colour."""
    return "  ".join(
        f'<font color="{colours.get(name, _LINE)}">■</font> <font point-size="9">{_text(name, 28)}</font>'
        for name in networks
    )


def _planned(action: Action) -> str:
    sign, ink = _SIGNS[action]
    return f'<font color="{ink}"><b>{sign} {action.value}</b></font>'


def _border(planned: Iterable[Action], ink: str) -> str:
    return next((_SIGNS[action][1] for action in sorted(planned)), ink)


def _table(rows: Sequence[str], ground: str, ink: str, width: int) -> str:
    cells = "".join(f'<tr><td align="left">{row}</td></tr>' for row in rows)
    look = f'border="{width}" cellborder="0" cellspacing="2" cellpadding="2" style="rounded"'
    return f'<table {look} bgcolor="{ground}" color="{ink}">{cells}</table>'


def _text(text: str, longest: int = _LONGEST) -> str:
    """Text in a label: escaped for HTML, without control characters, cut where it is too long to read."""
    shown = escaped(text)
    return html.escape(shown if len(shown) <= longest else f"{shown[: longest - 1]}…")


def _id(kind: str, name: str) -> str:
    quoted = escaped(f"{kind} {name}").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'
