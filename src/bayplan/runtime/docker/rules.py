"""Docker's own rules in the host's firewall, as iptables(8) and ip6tables(8) show them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayplan.runtime.engine_api.engine import Engine
from bayplan.system import xtables

_SIX_BY_DEFAULT = (1, 46)
"""The API of Docker 27.0, the first that writes rules of IPv6 unasked."""


@dataclass(frozen=True)
class Rules:
    """Rules of the tables filter and nat, of one version of IP."""

    filter: tuple[str, ...]
    nat: tuple[str, ...]
    version: int = 4

    @property
    def program(self) -> str:
        """What wrote them."""
        return "ip6tables" if self.version == 6 else "iptables"

    def name(self, bridge: str) -> bool:
        """Whether any of the filter's is about a bridge."""
        return any(word == bridge for rule in self.filter for word in rule.split())

    def masquerade(self, bridge: str) -> bool:
        """Whether what leaves a bridge for elsewhere has the host's address."""
        return any(f"! -o {bridge} " in f"{rule} " and "MASQUERADE" in rule for rule in self.nat)

    def lead_to(self, address: str, port: str) -> bool:
        """Whether a published port leads to an address and port inside."""
        target = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        return any(rule.endswith(f"--to-destination {target}") for rule in self.nat)


def rules_of(pid: int, engine: Engine) -> Mapping[int, Rules]:
    """The rules by version of IP: those that this Docker writes and that can be read."""
    found: dict[int, Rules] = {}
    for version in _written(pid, engine):
        filters, nat = (xtables.rules(table, version) for table in ("filter", "nat"))
        if filters is not None and nat is not None:
            found[version] = Rules(filters, nat, version)
    return found


def _written(pid: int, engine: Engine) -> tuple[int, ...]:
    """Versions of IP, by its command line and its settings: an administrator may keep it from that (dockerd(8))."""
    try:
        words = [word.decode(errors="replace") for word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]
        settings = json.loads(Path(f"/proc/{pid}/root/etc/docker/daemon.json").read_text())
    except FileNotFoundError:
        settings = {}
    except (OSError, ValueError):
        return ()
    backend = _option("firewall-backend", words, settings)
    if backend not in (None, "iptables") or not _is_on("iptables", words, settings, default=True):
        return ()
    return (4, 6) if _is_on("ip6tables", words, settings, default=engine.speaks(_SIX_BY_DEFAULT)) else (4,)


def _option(name: str, words: list[str], settings: Mapping[str, Any]) -> Any:
    """An option of dockerd, None for one that is not set. On the command line: ``--name``, ``--name=value``."""
    for position, word in enumerate(words):
        flag, given, value = word.partition("=")
        if flag == f"--{name}":
            return value if given else words[position + 1] if name == "firewall-backend" else "true"
    return settings.get(name)


def _is_on(name: str, words: list[str], settings: Mapping[str, Any], *, default: bool) -> bool:
    found = _option(name, words, settings)
    return default if found is None else found in (True, "true", "1")
