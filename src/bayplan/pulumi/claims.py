"""What of a host only one resource can have at a time: with it, a successor waits until its predecessor is gone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from bayplan.models.container import Port

_ANY = ("", "0.0.0.0", "::")  # noqa: S104 - spellings in declarations, not bound


def conflict(old: Mapping[str, Any], new: Mapping[str, Any], *, named: bool) -> bool:
    """Whether two declarations (fields) cannot stand beside each other: by name, host port, address or subnet.

    ``named``: the new name is the user's; another one is made for each replacement.
    """
    if named and old.get("name") == new.get("name"):
        return True
    if not set(_single(old)).isdisjoint(_single(new)):
        return True
    ports = list(_ports(old))
    return any(_collide(one, other) for one in _ports(new) for other in ports)


def _ports(fields: Mapping[str, Any]) -> Iterator[tuple[str, int, str]]:
    """Host address, port, protocol: of those that the host does not choose. As the model reads them: ``"8080"`` too."""
    for given in fields.get("ports") or ():
        try:
            port = Port.model_validate(given)
        except ValidationError:
            continue  # a part of it is not known yet
        if not port.chosen:
            yield str(port.host_ip or ""), port.published, port.protocol


def _collide(one: tuple[str, int, str], other: tuple[str, int, str]) -> bool:
    same = one[1:] == other[1:]
    return same and (one[0] == other[0] or one[0] in _ANY or other[0] in _ANY)


def _single(fields: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Fixed addresses on networks, and what is a network's own."""
    for place in fields.get("networks") or ():
        if isinstance(place, Mapping):
            for key in ("ipv4_address", "ipv6_address", "mac_address"):
                if place.get(key) is not None:
                    yield str(place.get("network")), key, str(place[key])
    for key in ("subnet", "ipv6_subnet", "bridge_name"):
        if fields.get(key) is not None:
            yield key, str(fields[key])
