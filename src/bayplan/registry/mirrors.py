"""Where to ask for an image: containers-registries.conf(5), version 2."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayplan.errors import DeclarationError, UnsupportedError
from bayplan.models.reference import ImageReference

SYSTEM_CONF = Path("/etc/containers/registries.conf")


@dataclass(frozen=True)
class Endpoint:
    """One place to ask: host with port, repository there, and whether plain HTTP is allowed."""

    host: str
    repository: str
    insecure: bool = False

    @property
    def base(self) -> str:
        """URL without path. Docker Hub's API has another host than its name."""
        host = "registry-1.docker.io" if self.host == "docker.io" else self.host
        return f"{'http' if self.insecure else 'https'}://{host}"


def load(files: Sequence[Path] = ()) -> tuple[dict[str, Any], ...]:
    """The ``[[registry]]`` tables of the files, or of the system's file and its ``.d``; later prefixes win.

    Raises DeclarationError naming a file that is not TOML or has something else in a table's place.
    """
    tables: dict[str, dict[str, Any]] = {}
    for path in files or _system():
        try:
            document = tomllib.loads(path.read_text())
        except FileNotFoundError:
            if files:
                raise DeclarationError("file does not exist", where=str(path), hint="see registries_conf") from None
            continue
        except ValueError as error:
            raise DeclarationError(f"not TOML: {error}", where=str(path)) from error
        for table in _tables(document, "registry", path):
            _tables(table, "mirror", path)
            prefix = str(table.get("prefix") or table.get("location") or "")
            if prefix:
                tables[prefix] = table
    return tuple({**table, "prefix": prefix} for prefix, table in tables.items())


def _tables(document: dict[str, Any], name: str, path: Path) -> list[dict[str, Any]]:
    found = document.get(name, [])
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise DeclarationError(
            f"{name} is no list of tables", where=str(path), hint="see containers-registries.conf(5)"
        )
    return found


def endpoints(ref: ImageReference, tables: Iterable[dict[str, Any]]) -> tuple[Endpoint, ...]:
    """Mirrors in their order, then the place itself. Raises UnsupportedError for a blocked registry."""
    matching = [table for table in tables if _covers(str(table["prefix"]), ref)]
    if not matching:
        return (Endpoint(ref.registry, ref.repository),)
    table = max(matching, key=lambda item: len(str(item["prefix"])))
    if table.get("blocked"):
        raise UnsupportedError(f"registry {table['prefix']} is blocked", where=str(ref), hint="see registries.conf")
    places = [mirror for mirror in table.get("mirror", ()) if _wanted(mirror, table, ref)]
    return tuple(_endpoint(ref, table, place) for place in [*places, table])


def _system() -> list[Path]:
    return [SYSTEM_CONF, *sorted(SYSTEM_CONF.with_name("registries.conf.d").glob("*.conf"))]


def _wanted(mirror: dict[str, Any], table: dict[str, Any], ref: ImageReference) -> bool:
    only = mirror.get("pull-from-mirror", "all")
    by_digest = ref.digest is not None
    if table.get("mirror-by-digest-only") and not by_digest:
        return False
    return bool(only == "all" or (only == "digest-only") == by_digest)


def _covers(prefix: str, ref: ImageReference) -> bool:
    if prefix.startswith("*."):
        return ref.registry.endswith(prefix[1:])
    return ref.name == prefix or ref.name.startswith(f"{prefix}/")


def _endpoint(ref: ImageReference, table: dict[str, Any], place: dict[str, Any]) -> Endpoint:
    prefix = str(table["prefix"])
    cut = ref.registry if prefix.startswith("*.") else prefix
    location = str(place.get("location") or cut)
    host, _, repository = (location + ref.name[len(cut) :]).partition("/")
    return Endpoint(host, repository, bool(place.get("insecure", False)))
