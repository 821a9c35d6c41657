"""Networks and volumes as Compose declares them, and the keys under which they stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, cast

from bayplan.models import Network, Stack, Volume, labels

_V = TypeVar("_V")
_OPTIONS = {
    "mtu": "com.docker.network.driver.mtu",
    "bridge_name": "com.docker.network.bridge.name",
    "icc": "com.docker.network.bridge.enable_icc",
    "masquerade": "com.docker.network.bridge.enable_ip_masquerade",
    "source_check": "bayplan.source_check",
}


class Keys:
    """Final names to keys of the file: what Compose would make the name of again, where that is so."""

    def __init__(self, stack: Stack) -> None:
        self.project = stack.name
        self.networks = dict(self._keys(stack.networks, labels.NETWORK))
        self.volumes = dict(self._keys(stack.volumes, labels.VOLUME))

    def _keys(self, items: Iterable[Network | Volume], label: str) -> Iterator[tuple[str, str]]:
        taken: set[str] = set()
        for item in items:
            wanted = item.labels.get(label) or item.name.removeprefix(f"{self.project}_") or item.name
            key = item.name if wanted in taken else wanted
            taken.add(key)
            yield item.name, key

    def named(self, key: str, name: str) -> dict[str, Any]:
        """``name:``, where the key does not say it."""
        return {} if name == f"{self.project}_{key}" else {"name": name}


def network(item: Network, keys: Keys) -> dict[str, Any]:
    """A top-level network."""
    head = keys.named(keys.networks[item.name], item.name)
    if item.external:
        return {**head, "external": True}
    given = item.model_dump(mode="json", exclude_defaults=True)
    found: dict[str, Any] = dict(head)
    found |= {name: given[name] for name in ("driver", "internal", "enable_ipv4", "enable_ipv6") if name in given}
    options = {option: _text(given[name]) for name, option in _OPTIONS.items() if name in given}
    options |= {"parent": given["parent"]} if "parent" in given else {}
    options |= {f"{item.driver}_mode": given["mode"]} if "mode" in given else {}
    pools = [
        _pool(given, {"subnet": "subnet", "gateway": "gateway", "ip_range": "ip_range"}),
        _pool(given, {"ipv6_subnet": "subnet", "ipv6_gateway": "gateway", "ipv6_range": "ip_range"}),
        *({key: value for key, value in one.items() if value is not None} for one in given.get("further_ranges", ())),
    ]
    pools = [one for one in pools if one]
    if pools and (others := given.get("aux_addresses")):
        pools[0]["aux_addresses"] = others
    more = {"driver_opts": options, "ipam": {"config": pools} if pools else {}, "labels": own_labels(item.labels)}
    return escaped({**found, **{key: value for key, value in more.items() if value}})


def volume(item: Volume, keys: Keys) -> dict[str, Any]:
    """A top-level volume."""
    head = keys.named(keys.volumes[item.name], item.name)
    if item.external:
        return {**head, "external": True}
    more = {"driver_opts": dict(item.driver_opts), "labels": own_labels(item.labels)}
    return escaped({**head, **{key: value for key, value in more.items() if value}})


def own_labels(given: Mapping[str, str]) -> dict[str, str]:
    """Labels that a person has given: neither ours nor Compose's."""
    return {key: value for key, value in given.items() if not key.startswith((labels.OWN, labels.COMPOSE))}


def escaped(value: _V) -> _V:
    """With each dollar doubled: the reader puts variables in (Compose specification, "Interpolation")."""
    found: Any = value
    if isinstance(value, str):
        found = value.replace("$", "$$")
    elif isinstance(value, Mapping):
        found = {key: escaped(item) for key, item in value.items()}
    elif isinstance(value, (list, tuple)):
        found = [escaped(item) for item in value]
    return cast(_V, found)


def _pool(given: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    found = {key: given[name] for name, key in names.items() if given.get(name) is not None}
    return found if "subnet" in found else {}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
