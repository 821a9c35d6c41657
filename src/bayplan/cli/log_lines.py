"""logs: what several containers wrote, merged in order of time."""

from __future__ import annotations

import heapq
import json
import queue
import threading
from argparse import Namespace
from collections.abc import Iterator
from datetime import datetime
from operator import itemgetter

from bayplan.cli.common import opened, writers
from bayplan.cli.printable import printable
from bayplan.load.moments import moment
from bayplan.runtime.protocol import LogLine, Runtime

_WINDOW_S = 0.2
Named = tuple[datetime, str, LogLine]


def logs(options: Namespace) -> int:
    """Print them; with ``--follow`` until every container has ended."""
    since, until = moment(options.since, "--since"), moment(options.until, "--until")
    with opened(options) as (runtime, _):
        names = writers(options, runtime)
        width = max(len(name) for name in names)
        sources = [_named(runtime, name, options, since, until) for name in names]
        lines = _live(sources) if options.follow and len(names) > 1 else heapq.merge(*sources, key=itemgetter(0))
        for _, name, line in lines:
            print(_text(options, name, width, line), flush=options.follow)
    return 0


def _named(
    runtime: Runtime, name: str, options: Namespace, since: datetime | None, until: datetime | None
) -> Iterator[Named]:
    found = runtime.logs(name, follow=options.follow, tail=options.tail, since=since, until=until)
    return ((line.time, line.container or name, line) for line in found)


def _live(sources: list[Iterator[Named]]) -> Iterator[Named]:
    """Lines of sources that wait for more, in order of time within short windows."""
    arrived: queue.SimpleQueue[Named | None] = queue.SimpleQueue()

    def drain(source: Iterator[Named]) -> None:
        try:
            for item in source:
                arrived.put(item)
        finally:
            arrived.put(None)

    for source in sources:
        threading.Thread(target=drain, args=(source,), name="logs", daemon=True).start()
    left = len(sources)
    while left:
        window = [arrived.get()]
        try:
            while True:
                window.append(arrived.get(timeout=_WINDOW_S))
        except queue.Empty:
            pass
        left -= window.count(None)
        yield from sorted((item for item in window if item), key=itemgetter(0))


def _text(options: Namespace, name: str, width: int, line: LogLine) -> str:
    if options.json:
        entry = {"container": name, "time": line.time.isoformat(), "stream": line.stream, "text": line.text}
        return json.dumps(entry)
    prefix = "" if options.no_log_prefix else f"{name:<{width}} | "
    when = f"{line.time.isoformat()} " if options.timestamps else ""
    return f"{prefix}{when}{printable(line.text)}"
