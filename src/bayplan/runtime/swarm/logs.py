"""What tasks wrote, wherever they run: the swarm brings it from their nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from bayplan.runtime.engine_api.client import EngineClient, told
from bayplan.runtime.engine_api.status import moment
from bayplan.runtime.engine_api.streams import frames
from bayplan.runtime.protocol import LogLine
from bayplan.runtime.swarm.tasks import Entry

_STREAMS = {1: "stdout", 2: "stderr"}
_TASK = "com.docker.swarm.task.id="
_LAST = 20


def last_lines(client: EngineClient, task: Entry, count: int = _LAST) -> str:
    """The end of what one task wrote."""
    query = {"stdout": True, "stderr": True, "tail": count}
    tty = bool(((task.get("Spec") or {}).get("ContainerSpec") or {}).get("TTY"))
    with told(f"task {task['ID']}"):
        pieces = client.streamed("GET", f"/tasks/{task['ID']}/logs", query=query)
        return b"".join(data for _, data in frames(pieces, tty=tty)).decode(errors="replace")


def lines(
    client: EngineClient,
    service: Mapping[str, Any],
    names: Mapping[str, str],
    *,
    follow: bool,
    tail: int | None,
    since: datetime | None,
    until: datetime | None,
) -> Iterator[LogLine]:
    """Lines of a service's tasks; ``names`` are of tasks by their ids. The swarm sends each node's as they come."""
    query: dict[str, Any] = {"stdout": True, "stderr": True, "timestamps": True, "details": True, "follow": follow}
    query["tail"] = "all" if tail is None else tail
    if since is not None:
        query["since"] = int(since.timestamp())
    tty = bool(service["Spec"]["TaskTemplate"]["ContainerSpec"].get("TTY"))
    with told(f"service {service['Spec']['Name']}"):
        pieces = client.streamed("GET", f"/services/{service['ID']}/logs", query=query)
        for stream, text in _whole(frames(pieces, tty=tty)):
            read = _read(stream, text, names)
            if (since is None or read.time >= since) and (until is None or read.time <= until):
                yield read


def _whole(pieces: Iterator[tuple[int, bytes]]) -> Iterator[tuple[str, str]]:
    """Stream and line; what comes from a terminal is cut anywhere."""
    held: dict[int, bytes] = {}
    for stream, data in pieces:
        *found, held[stream] = (held.get(stream, b"") + data).split(b"\n")
        yield from ((_STREAMS.get(stream, "stdout"), line.decode(errors="replace")) for line in found)
    for stream, rest in held.items():
        if rest:
            yield _STREAMS.get(stream, "stdout"), rest.decode(errors="replace")


def _read(stream: str, line: str, names: Mapping[str, str]) -> LogLine:
    """``TIME KEY=VALUE,... TEXT``."""
    stamp, _, rest = line.partition(" ")
    details, _, text = rest.partition(" ")
    task = next((item.removeprefix(_TASK) for item in details.split(",") if item.startswith(_TASK)), "")
    return LogLine(moment(stamp) or datetime.now(UTC), stream, text.removesuffix("\r"), names.get(task, task))
