"""A successor that is started before its predecessor ends: what forbids it, and how the predecessor is let go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from bayplan.errors import UnsupportedError
from bayplan.models import Container, Duration
from bayplan.system import sockets

_DRAIN_S, _QUIET = 0.1, 2


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
