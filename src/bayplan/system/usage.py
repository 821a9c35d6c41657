"""What a cgroup uses, from its files; v1 (cgroup-v1/*.rst) and v2 (cgroup-v2.rst, "Controllers")."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bayplan.system import cgroups

_UNLIMITED_BYTES = 1 << 62  # v1 says "no limit" by the largest number of pages


@dataclass(frozen=True)
class Usage:
    """One reading. Limits are None when there is none; network counts are all links of the namespace but loopback."""

    cpu_ns: int = 0
    memory_bytes: int = 0
    """Without file pages that are not in use, which the kernel gives back for the asking (as Docker shows it)."""
    memory_limit_bytes: int | None = None
    block_read_bytes: int = 0
    block_written_bytes: int = 0
    pids: int = 0
    pids_limit: int | None = None
    network_received_bytes: int = 0
    network_sent_bytes: int = 0


def read(path: str, pid: int | None = None) -> Usage:
    """A group's usage now; zeros for what this host does not count. ``pid`` names the network namespace."""
    received, sent = network(pid) if pid else (0, 0)
    relative = path.lstrip("/")
    if cgroups.is_unified(cgroups.ROOT):
        top = cgroups.ROOT / relative
        stat = _pairs(top / "memory.stat")
        read_bytes, written = _io_stat(top / "io.stat")
        return Usage(
            _pairs(top / "cpu.stat").get("usage_usec", 0) * 1000,
            max(0, (_number(top / "memory.current") or 0) - stat.get("inactive_file", 0)),
            _number(top / "memory.max"),
            read_bytes,
            written,
            _number(top / "pids.current") or 0,
            _number(top / "pids.max"),
            received,
            sent,
        )
    memory = cgroups.ROOT / "memory" / relative
    limit = _number(memory / "memory.limit_in_bytes")
    used = _number(memory / "memory.usage_in_bytes") or 0
    read_bytes, written = _throttle(cgroups.ROOT / "blkio" / relative / "blkio.throttle.io_service_bytes_recursive")
    return Usage(
        _number(cgroups.ROOT / "cpuacct" / relative / "cpuacct.usage") or 0,
        max(0, used - _pairs(memory / "memory.stat").get("total_inactive_file", 0)),
        limit if limit is not None and limit < _UNLIMITED_BYTES else None,
        read_bytes,
        written,
        _number(cgroups.ROOT / "pids" / relative / "pids.current") or 0,
        _number(cgroups.ROOT / "pids" / relative / "pids.max"),
        received,
        sent,
    )


def network(pid: int) -> tuple[int, int]:
    """Bytes received and sent by the links of a process's network namespace, without loopback (proc(5), net/dev)."""
    received = sent = 0
    for line in _lines(Path(f"/proc/{pid}/net/dev"))[2:]:
        name, _, numbers = line.partition(":")
        fields = numbers.split()
        if name.strip() != "lo" and len(fields) > 8:
            received, sent = received + int(fields[0]), sent + int(fields[8])
    return received, sent


def _io_stat(path: Path) -> tuple[int, int]:
    words = [word.partition("=") for line in _lines(path) for word in line.split()[1:]]
    return _sum(words, "rbytes"), _sum(words, "wbytes")


def _throttle(path: Path) -> tuple[int, int]:
    """Lines ``8:0 Read 4096``; the last one is a total."""
    fields = [line.split() for line in _lines(path)]
    words = [(item[1], "", item[2]) for item in fields if len(item) == 3]
    return _sum(words, "Read"), _sum(words, "Write")


def _sum(words: Iterable[tuple[str, str, str]], name: str) -> int:
    return sum(int(value) for key, _, value in words if key == name)


def _pairs(path: Path) -> dict[str, int]:
    fields = (line.split() for line in _lines(path))
    return {item[0]: int(item[1]) for item in fields if len(item) == 2 and item[1].isdigit()}


def _number(path: Path) -> int | None:
    text = "".join(_lines(path)).strip()
    return int(text) if text.isdigit() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:  # a controller that is not here, a group that went away
        return []
