"""``links``: a service under another name, which here everybody on the network sees, not only who asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bayplan.load.compose.endpoints import wanted
from bayplan.load.compose.nodes import Node, as_list, as_text, wrong

Aliases = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Service to network to the further names by which it is found there."""


def linked(service: Node) -> Iterator[tuple[str, str, Node]]:
    """The services of ``links``, the names they are given, and the places. Raises DeclarationError."""
    given = service.get("links")
    for item in as_list(given) if given else ():
        name, _, alias = as_text(item).partition(":")
        yield name, alias or name, item


def aliases(services: Mapping[str, Node]) -> Aliases:
    """What links add to the names of services. Raises DeclarationError for a name that would mean two services."""
    found: dict[str, dict[str, list[str]]] = {}
    meant: dict[tuple[str, str], str] = {}
    for key, node in services.items():
        for target, alias, place in linked(node):
            if target not in services:
                continue  # said where dependencies are read
            common = [one for one in _networks(node) if one in _networks(services[target])]
            if not common:
                raise wrong(place, f"{key} and {target} have no network in common", hint="put both on one")
            if alias == target:
                continue
            for network in common:
                other = meant.setdefault((network, alias), target)
                if other != target or alias in services:
                    mine = alias if alias in services else other
                    what = f"on network {network} the name {alias!r} is that of {mine}, and names are seen by all on it"
                    raise wrong(place, what, hint="use another alias")
                found.setdefault(target, {}).setdefault(network, []).append(alias)
    return {key: {one: tuple(names) for one, names in places.items()} for key, places in found.items()}


def _networks(service: Node) -> list[str]:
    return [] if service.get("network_mode") else list(wanted(service))
