"""Ports of the host: whether one is free, which is chosen where none is declared, who may share one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from bayplan.errors import ConflictError, UnsupportedError
from bayplan.models import Container, Port, labels
from bayplan.runtime.native.networks.held import ANY_ADDRESS, loopback_v6_works
from bayplan.runtime.native.state import Database
from bayplan.system import sockets

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_HINT = "publish another port"
_HELD = """
    SELECT p.container_id, c.name, c.project, c.service FROM ports p LEFT JOIN containers c ON c.id = p.container_id
    WHERE p.published = ?1 AND p.protocol = ?2 AND (p.host_ip = ?3 OR instr(p.host_ip, ':') = 0 AND
    instr(?3, ':') = 0 AND '0.0.0.0' IN (p.host_ip, ?3) OR instr(p.host_ip, ':') > 0 AND instr(?3, ':') > 0 AND
    '::' IN (p.host_ip, ?3))
"""


class Families(NamedTuple):
    """Of which families a container has addresses that ports can lead to."""

    ipv4: bool = True
    ipv6: bool = False


def check(
    containers: Sequence[Container],
    database: Database,
    replaced: Collection[str],
    own_sockets: Callable[[], frozenset[str]],
    families: Callable[[Container], Families] = lambda _: Families(),
) -> None:
    """Refuse ports that others hold. ``replaced`` are names of containers that make room.

    ``families`` says which addresses that ports can lead to a container gets.
    ``own_sockets`` are those of our name server: publishing binds nothing, and spares gateways. Raises ConflictError
    naming the holder, UnsupportedError for a protocol that the kernel lacks.
    """
    seen: dict[tuple[int, str, str], Container] = {}
    for container in containers:
        for port in container.ports:
            where = str(container.id)
            if not sockets.supports(port.protocol):
                raise UnsupportedError(f"the kernel has no {port.protocol}", where=where, hint="load its module")
            has = families(container)
            _check_family(port, container, has)
            hosts = port.hosts(ipv4=has.ipv4, ipv6=has.ipv6)
            if port.chosen:
                if not any(_may_choose(port, hosts, number, database, replaced) for number in _numbers(port)):
                    raise ConflictError(f"no port of {port} is free", where=where, hint="declare a larger range")
                continue
            for host in hosts:
                _check_records(port, host, container, database, replaced)
                _check_host(port, host, where, own_sockets)
                for (number, protocol, address), other in seen.items():
                    same = (number, protocol) == (port.published, port.protocol) and _meet(address, host)
                    if same and other.name != container.name and not _same_service(container, other):
                        raise ConflictError(
                            f"port {port.published}/{port.protocol} is published by {other.name} and {container.name}"
                        )
                seen[port.published, port.protocol, host] = container


def choose(tx: sqlite3.Connection, container_id: str, port: Port, hosts: Sequence[str], taken: Collection[int]) -> int:
    """A free port of the host for one that declares none, inside a transaction: what its name had before if it can be.

    It is free on each of ``hosts``. ``taken`` are the container's own others. Raises ConflictError when none is free.
    """
    name = _name(tx, container_id)
    key = (hosts[0], port.protocol, port.target)
    held = tx.execute(
        "SELECT published FROM ports WHERE container_id = ? AND host_ip = ? AND protocol = ? AND target = ?",
        (container_id, *key),
    ).fetchall()
    last = tx.execute(
        "SELECT published FROM last_ports WHERE container = ? AND host_ip = ? AND protocol = ? AND target = ?",
        (name, *key),
    ).fetchall()
    numbers = _numbers(port)
    for row in held:
        if row[0] in numbers and row[0] not in taken:
            return int(row[0])
    for number in (*(int(row[0]) for row in last if row[0] in numbers), *numbers):
        if number in taken or any(_holders(tx, number, port, host) for host in hosts):
            continue
        if all(sockets.is_free(host, number, port.protocol) for host in hosts):
            tx.execute("DELETE FROM last_ports WHERE container NOT IN (SELECT name FROM containers)")
            tx.execute("INSERT OR REPLACE INTO last_ports VALUES (?, ?, ?, ?, ?)", (name, *key, number))
            return int(number)
    raise ConflictError(f"no port of {port} is free", hint="declare a larger range")


def refuse_holder(tx: sqlite3.Connection, container_id: str, number: int, protocol: str, host_ip: str) -> None:
    """Raise ConflictError naming who publishes the port and is no replica of the same service."""
    asked = tx.execute("SELECT name, project, service FROM containers WHERE id = ?", (container_id,)).fetchone()
    for row in tx.execute(_HELD, (number, protocol, host_ip)).fetchall():
        mine = row["container_id"] == container_id
        peer = asked and asked["service"] and tuple(asked)[1:] == (row["project"], row["service"])
        if not mine and not peer:
            owner = row["name"] or str(row["container_id"])[:12]
            raise ConflictError(f"port {number}/{protocol} is published by container {owner}")


def _may_choose(port: Port, hosts: Sequence[str], number: int, database: Database, replaced: Collection[str]) -> bool:
    for address in hosts:
        rows = database.query(_HELD, (number, port.protocol, address))
        if any(row["name"] in replaced for row in rows):
            continue
        if rows or not sockets.is_free(address, number, port.protocol):
            return False
    return True


def _check_family(port: Port, container: Container, has: Families) -> None:
    if port.host_ip is None:
        return
    if port.host_ip.version == 4:
        if container.networks and not has.ipv4 and has.ipv6:
            raise ConflictError(
                f"port {port} is IPv4, and no network of the container that is not internal has IPv4",
                where=str(container.id),
                hint="publish it on an IPv6 address, such as [::], or on none",
            )
        return
    if not has.ipv6:
        raise ConflictError(
            f"port {port} is IPv6, and no network of the container that is not internal has IPv6",
            where=str(container.id),
            hint="set enable_ipv6 on its network",
        )
    if port.host_ip.is_loopback and not loopback_v6_works():
        raise UnsupportedError(
            f"port {port} cannot answer: bridged IPv6 passes the host's IP filter, which drops what comes for ::1",
            where=str(container.id),
            hint="set net.bridge.bridge-nf-call-ip6tables=0, or publish on 127.0.0.1 or an address of a link",
        )


def _check_records(
    port: Port, address: str, container: Container, database: Database, replaced: Collection[str]
) -> None:
    owner = (container.labels.get(labels.PROJECT, ""), container.service)
    for row in database.query(_HELD, (port.published, port.protocol, address)):
        peer = container.service and owner == (row["project"], row["service"])
        if row["name"] is not None and row["name"] != container.name and row["name"] not in replaced and not peer:
            raise ConflictError(
                f"port {port.published}/{port.protocol} is held by container {row['name']}",
                where=str(container.id),
                hint=_HINT,
            )


def _check_host(port: Port, address: str, where: str, own_sockets: Callable[[], frozenset[str]]) -> None:
    shown = f"port {f'[{address}]' if ':' in address else address}:{port.published}/{port.protocol}"
    if not sockets.has_address(address):
        raise ConflictError(f"{shown} cannot be bound: the host has no address {address}", where=where, hint=_HINT)
    if sockets.is_free(address, port.published, port.protocol):
        return
    held = sockets.listeners(address, port.published, port.protocol)
    strangers = held - own_sockets()
    if strangers or not held:
        by = ", ".join(sockets.holders(strangers)) or "unknown"
        raise ConflictError(f"{shown} is taken by a process of the host: {by}", where=where, hint=_HINT)


def _numbers(port: Port) -> range:
    """The ports from which one is chosen: the declared range, or that of the kernel for local ports (ip(7))."""
    if port.published:
        return range(port.published, (port.last or port.published) + 1)
    first, last = (int(part) for part in _RANGE.read_text().split())
    return range(first, last + 1)


def _holders(tx: sqlite3.Connection, number: int, port: Port, address: str) -> bool:
    return bool(tx.execute(_HELD, (number, port.protocol, address)).fetchall())


def _name(tx: sqlite3.Connection, container_id: str) -> str:
    row = tx.execute("SELECT name FROM containers WHERE id = ?", (container_id,)).fetchone()
    return str(row[0]) if row else container_id


def _meet(one: str, other: str) -> bool:
    return one == other or ((":" in one) is (":" in other) and not {one, other}.isdisjoint(ANY_ADDRESS))


def _same_service(one: Container, other: Container) -> bool:
    project = labels.PROJECT
    return bool(one.service) and one.service == other.service and one.labels.get(project) == other.labels.get(project)
