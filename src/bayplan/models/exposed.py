"""``publish_all_ports``: a port of the host for each port that a container or its image exposes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from bayplan.models.container import Container, Port

_FORM = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?")


def with_exposed_ports(container: Container, image: Iterable[str]) -> Container:
    """The container with a port that the host chooses for each that is exposed and not published already.

    Raises ValueError for what is no port.
    """
    if not container.publish_all_ports:
        return container
    published = {(port.target, port.protocol) for port in container.ports}
    wanted = sorted({one for text in (*container.expose, *image) for one in _ports(text)} - published)
    more = tuple(Port.model_validate({"target": target, "protocol": protocol}) for target, protocol in wanted)
    return container.model_copy(update={"ports": (*container.ports, *more)}) if more else container


def _ports(text: str) -> Iterator[tuple[int, str]]:
    match = _FORM.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is no port to expose")
    for number in range(int(match[1]), int(match[2] or match[1]) + 1):
        yield number, match[3] or "tcp"
