"""Networks by the options of community.docker's docker_network, to fields of the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bayplan.errors import DeclarationError
from bayplan.load.compose.resources import read_network
from bayplan.load.compose.yaml_text import parse, place

_OWN = ("ipam_config", "driver_options")


def read(given: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the network. Raises DeclarationError, also for a field that is given in both ways."""
    values = {name: value for name, value in given.items() if name not in _OWN}
    pools = [_pool(item) for item in given.get("ipam_config") or ()]
    options = {name: _text(value) for name, value in (given.get("driver_options") or {}).items()}
    if not pools and not options:
        return values
    declared = {"driver": given.get("driver") or "bridge", "driver_opts": options, "ipam": {"config": pools}}
    declared |= {
        name: given[name] for name in ("enable_ipv4", "enable_ipv6", "internal") if given.get(name) is not None
    }
    where = f"network {given.get('name', '')}"
    try:
        found = read_network(place(parse(json.dumps(declared), "options")[0]), "key", "project")
    except DeclarationError as error:
        error.where = where  # the place in a text that nobody wrote says nothing
        raise
    read_ones = {name: getattr(found, name) for name in found.model_fields_set - {"name", "labels"}}
    if twice := [name for name, value in read_ones.items() if name in values and str(values[name]) != str(value)]:
        raise DeclarationError(f"{twice[0]} is given in two ways", where=where, hint="give it once")
    return {**values, **read_ones}


def _pool(item: Mapping[str, Any]) -> dict[str, Any]:
    names = {"iprange": "ip_range"}
    return {names.get(key, key): value for key, value in item.items() if value is not None}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
