"""Containers that are there twice for the time of a replacement: how the spare one is named, and what forbids it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from bayplan.errors import UnsupportedError
from bayplan.models import Container, Duration
from bayplan.system import sockets

ASIDE = ".superseded-"
"""In the name of a container that makes room for its successor; the id's beginning follows."""
BESIDE = ".successor-"
"""In the name of one that is not yet its predecessor's successor; something of its own follows."""
_LONGEST = 100
_DRAIN_S, _QUIET = 0.1, 2


def spare_name(name: str, mark: str, own: str) -> str:
    """The name of the spare one of two; ``mark`` is ``ASIDE`` or ``BESIDE``, ``own`` is nobody else's."""
    return f"{name[:_LONGEST]}{mark}{own[:12]}"


def is_spare(name: str) -> bool:
    """Whether the name is one of these."""
    return ASIDE in name or BESIDE in name


def plain_name(name: str) -> str:
    """What the container of this name is to its user, as far as the name says."""
    return name.partition(ASIDE)[0].partition(BESIDE)[0]


def is_spare_of(name: str, wanted: str) -> bool:
    """Whether a name is that of a spare one of the container that is called ``wanted``."""
    return is_spare(name) and plain_name(name) == wanted[:_LONGEST]


def check(container: Container, engine: str, *, shares_ports: bool) -> None:
    """Raise UnsupportedError for a container that is to be replaced start-first and cannot be there twice.

    ``shares_ports``: whether the engine leads a port of the host to another container without a gap.
    """
    config = container.update_config
    if config is None or "start-first" not in (config.order, config.rollback.order if config.rollback else ""):
        return
    for why in _obstacles(container, engine, shares_ports=shares_ports):
        raise UnsupportedError(
            f"start-first needs two containers at a time, and {why}",
            where=f"{container.id}: update_config.order",
            hint="stop-first, or take that out of the declaration",
        )


def drain(pid: Callable[[], int | None], grace: Duration) -> None:
    """Wait until nobody is connected to what listens in a container of this host, for the grace at most.

    ``pid`` gives its first process, None when it has ended. Asked twice in a row: a connection that was on its way when
    the ports moved may still come.
    """
    deadline, quiet = time.monotonic() + grace.total_seconds(), 0
    while quiet < _QUIET and time.monotonic() < deadline:
        time.sleep(_DRAIN_S)
        number = pid()
        if number is None:
            return
        quiet = 0 if sockets.served(number) else quiet + 1


def _obstacles(container: Container, engine: str, *, shares_ports: bool) -> Iterator[str]:
    for place in container.networks:
        for option in ("ipv4_address", "ipv6_address", "mac_address", "link_local_ips"):
            if value := getattr(place, option):
                shown = value if not isinstance(value, tuple) else ", ".join(map(str, value))
                yield f"{option} {shown} of network {place.network} is one container's"
    if container.network_mode not in (None, "none"):
        yield f"with network_mode {container.network_mode} both would have the same ports"
    fixed = [port for port in container.ports if not port.chosen]
    if fixed and not shares_ports:
        yield f"{engine} gives a published port ({fixed[0]}) to one container alone"
