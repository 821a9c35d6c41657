"""What a person asks of an engine by hand and that changes nothing, but for volumes' contents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO

from bayplan.errors import ConflictError, UnsupportedError
from bayplan.models import Duration, Kind, ResourceId
from bayplan.runtime.engine_api.client import told
from bayplan.runtime.engine_api.parts import EngineParts
from bayplan.runtime.engine_api.status import status_of
from bayplan.runtime.protocol import LogLine, Observed, Scope, Snapshot, State
from bayplan.runtime.verbs import Finding, Happening

if TYPE_CHECKING:
    from bayplan.system.process_table import ProcessRow
    from bayplan.system.usage import Usage

LIVE = (State.RUNNING, State.PAUSED)


class EngineReadings(EngineParts):
    """The reading verbs of ``EngineRuntime``. What a single one needs is loaded by it."""

    def logs(
        self,
        name: str,
        *,
        follow: bool = False,
        tail: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[LogLine]:
        """What it wrote."""
        from bayplan.runtime.engine_api import logs

        return logs.read(self.client, self._found(name), follow=follow, tail=tail, since=since, until=until)

    def last_lines(self, name: str, count: int) -> Sequence[LogLine]:
        """The end of what it wrote."""
        return list(self.logs(name, tail=count))

    def happened(self) -> Sequence[Happening]:
        """As far back as the engine keeps it."""
        from bayplan.runtime.engine_api import numbers

        with told(f"{self.engine.name}: events"):
            return list(numbers.happened(self.client))

    def damaged(self) -> Sequence[Finding]:
        """Nobody but the engine can know."""
        raise self.refused("check what is stored", "its storage is its own")

    def processes(self, name: str) -> Sequence[ProcessRow]:
        """From the kernel when it is this host's, else by the engine's ps(1)."""
        from bayplan.runtime.engine_api import numbers

        found = self._running(name)
        here = numbers.local_processes(found) if self.client.is_local else None
        if here is not None:
            return here
        with told(f"container {name}"):
            return numbers.processes(self.client, found)

    def usage(self, name: str) -> Usage:
        """One reading."""
        from bayplan.runtime.engine_api import numbers
        from bayplan.system.usage import Usage

        found = self._found(name)
        if status_of(found).state not in LIVE:
            return Usage()
        with told(f"container {name}"):
            query = {"stream": False, "one-shot": True}
            stats = self.client.call("GET", f"/containers/{found['Id']}/stats", query=query)
        return numbers.usage(stats, limited=bool((found.get("HostConfig") or {}).get("Memory")))

    def inspect(self, name: str) -> Mapping[str, Any]:
        """What the engine says, but for secrets."""
        from bayplan.runtime.engine_api.shown import masked

        found = self._found(name)
        with told(f"container {name}"):
            return masked(found, self.containers.bases.config(str(found["Image"])))

    def containers_there(self) -> list[Observed]:
        """Every container, ours or not."""
        with told(f"{self.engine.name}: containers"):
            names = [_name(one) for one in self.containers.all()]
        found = self.observe(Scope(names=tuple(ResourceId(kind=Kind.CONTAINER, name=name) for name in names)))
        return [item for item in found.of(Kind.CONTAINER) if not item.superseded]

    def networks_there(self) -> list[tuple[Observed, tuple[str, ...]]]:
        """Every network, with the containers that have a place on it."""
        with told(f"{self.engine.name}: networks"):
            listed, every = self.containers.all(), self.networks.all()
        users: dict[str, set[str]] = {}
        for found in listed:
            for network in (found.get("NetworkSettings") or {}).get("Networks") or {}:
                users.setdefault(network, set()).add(_name(found))
        # Those that stand for no network, or the host's, are no resources.
        names = [str(item["Name"]) for item in every if item.get("Driver") not in ("null", "host")]
        return self._with_users(Kind.NETWORK, names, users)

    def inspect_network(self, name: str) -> Mapping[str, Any]:
        """What the engine says."""
        with told(f"network {name}"):
            found: Mapping[str, Any] = self.client.call("GET", f"/networks/{name}")
        return found

    def volumes_there(self) -> list[tuple[Observed, tuple[str, ...]]]:
        """Every volume, with the containers that mount it."""
        with told(f"{self.engine.name}: volumes"):
            listed, every = self.containers.all(), self.volumes.all()
        users: dict[str, set[str]] = {}
        for found in listed:
            for mount in found.get("Mounts") or ():
                if mount.get("Type") == "volume" and mount.get("Name"):
                    users.setdefault(str(mount["Name"]), set()).add(_name(found))
        return self._with_users(Kind.VOLUME, [str(item["Name"]) for item in every], users)

    def _with_users(
        self, kind: Kind, names: Sequence[str], users: Mapping[str, set[str]]
    ) -> list[tuple[Observed, tuple[str, ...]]]:
        wanted = tuple(ResourceId(kind=kind, name=name) for name in names)
        snapshot = self.observe(Scope(names=wanted))
        return [(item, tuple(sorted(users.get(item.id.name, ())))) for item in snapshot.of(kind)]

    def export_volume(self, name: str, out: BinaryIO) -> None:
        """Its content as a tar archive."""
        from bayplan.runtime.engine_api import contents

        contents.export(self.client, name, out)

    def import_volume(self, name: str, source: BinaryIO, *, replace: bool = False) -> None:
        """Its content from a tar archive; with ``replace`` the volume is made anew, so no container may have it."""
        from bayplan.runtime.engine_api import contents

        users = next((mine for item, mine in self.volumes_there() if item.id.name == name), ())
        live = tuple(one for one in users if status_of(self._found(one)).state in LIVE)
        contents.refuse_used(name, live)
        if not contents.is_empty(self.client, name):
            if not replace:
                raise ConflictError(f"volume {name} is not empty", hint="replace its content, or use a new volume")
            contents.refuse_used(name, users)
            contents.emptied(self.client, name)
        contents.fill(self.client, name, source)

    # -- parts -------------------------------------------------------------------------------------------------

    def refused(self, what: str, why: str) -> UnsupportedError:
        """The error that this engine cannot do a verb."""
        return UnsupportedError(f"{self.engine.name} cannot {what}: {why}")

    def _found(self, name: str) -> Mapping[str, Any]:
        return self.containers.get(name)

    def _running(self, name: str) -> Mapping[str, Any]:
        found = self._found(name)
        if status_of(found).state not in LIVE:
            raise ConflictError(f"container {name} is not running", hint="start it first")
        return found

    def lock(self, purpose: str, timeout: Duration | None = None) -> AbstractContextManager[None]:
        """Hold the host for a change."""
        raise NotImplementedError  # pragma: no cover - EngineRuntime has it

    def observe(self, scope: Scope) -> Snapshot:
        """What is there."""
        raise NotImplementedError  # pragma: no cover - EngineRuntime has it


def _name(listed: Mapping[str, Any]) -> str:
    return str((listed.get("Names") or [""])[0]).lstrip("/")
