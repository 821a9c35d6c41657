"""What tasks wrote, wherever they run: the swarm brings it from their nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from bayplan.runtime.engine_api.client import EngineClient, told
from bayplan.runtime.engine_api.status import moment
from bayplan.runtime.protocol import LogLine
from bayplan.runtime.swarm.tasks import Entry

_HEADER = 8
_STREAMS = {0: "stdin", 1: "stdout", 2: "stderr"}
_TASK = "com.docker.swarm.task.id="
_LAST = 20


def last_lines(client: EngineClient, task: Entry, count: int = _LAST) -> str:
    """The end of what one task wrote."""
    query = {"stdout": True, "stderr": True, "tail": count}
    return "".join(text for _, text in _pieces(client, f"/tasks/{task['ID']}/logs", query, tty=_has_terminal(task)))


def lines(
    client: EngineClient,
    service: Entry,
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
    for stream, text in _pieces(client, f"/services/{service['ID']}/logs", query, tty=tty):
        for line in text.splitlines():
            read = _read(stream, line, names)
            if (since is None or read.time >= since) and (until is None or read.time <= until):
                yield read


def _read(stream: str, line: str, names: Mapping[str, str]) -> LogLine:
    """``TIME KEY=VALUE,... TEXT``."""
    stamp, _, rest = line.partition(" ")
    details, _, text = rest.partition(" ")
    task = next((item.removeprefix(_TASK) for item in details.split(",") if item.startswith(_TASK)), "")
    return LogLine(moment(stamp) or datetime.now(UTC), stream, text, names.get(task, task))


def _pieces(client: EngineClient, path: str, query: Mapping[str, Any], *, tty: bool) -> Iterator[tuple[str, str]]:
    """Stream and text of each frame (Engine API, "ContainerAttach"); with a terminal there are no frames."""
    with told(path.strip("/").replace("s/", " ", 1)):
        chunks = client.streamed("GET", path, query=query)
        if tty:
            yield from (("stdout", chunk.decode(errors="replace")) for chunk in chunks)
            return
        held = b""
        for chunk in chunks:
            held += chunk
            while len(held) >= _HEADER and len(held) >= (end := _HEADER + int.from_bytes(held[4:_HEADER], "big")):
                yield _STREAMS.get(held[0], "stdout"), held[_HEADER:end].decode(errors="replace")
                held = held[end:]


def _has_terminal(task: Entry) -> bool:
    return bool(((task.get("Spec") or {}).get("ContainerSpec") or {}).get("TTY"))
