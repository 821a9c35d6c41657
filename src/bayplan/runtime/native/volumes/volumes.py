"""Volumes: a directory each, ``<state_root>/volumes/<name>/_data``, and a record."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from bayplan.errors import ConflictError, InUseError, NotFoundError
from bayplan.models import Container, Settings, Volume, VolumeMount
from bayplan.runtime.native.state.database import Database
from bayplan.runtime.native.volumes import options, sizes, transfer
from bayplan.runtime.native.volumes.fill import fill
from bayplan.runtime.protocol import Observed, State, Status
from bayplan.system import mounts, trees
from bayplan.system.files import private_directory
from bayplan.system.processes import Process, boot_id

_DELETED = ".deleted-"


class Volumes:
    """All volumes of one core. Safe to use from many threads."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.root = settings.state_root / "volumes"
        self.database = database
        self._filling = threading.Lock()

    def path(self, name: str) -> Path:
        """Directory of the data, whether or not it is there."""
        return self.root / name / "_data"

    def create(self, volume: Volume, project: str) -> None:
        """Make a volume; one that is there keeps its data and takes the declaration."""
        with self.database.transaction() as tx:
            tx.execute(
                "INSERT INTO volumes VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET declared = excluded.declared",
                (volume.name, project, volume.model_dump_json(), datetime.now(UTC).isoformat()),
            )
        self._make(volume)

    def update_labels(self, volume: Volume) -> None:
        """Record changed labels."""
        with self.database.transaction() as tx:
            tx.execute("UPDATE volumes SET declared = ? WHERE name = ?", (volume.model_dump_json(), volume.name))

    def heal(self, name: str) -> None:
        """Make a directory that is gone anew, empty. Raises NotFoundError for a volume that has no record."""
        self._make(self._declared(name))

    def _declared(self, name: str) -> Volume:
        rows = self.database.query("SELECT declared FROM volumes WHERE name = ?", (name,))
        if not rows:
            raise NotFoundError(f"volume {name} does not exist", hint="declare it, or create it first")
        return Volume.model_validate_json(rows[0]["declared"])

    def _make(self, volume: Volume) -> None:
        private_directory(self.root)
        (self.root / volume.name).mkdir(exist_ok=True, mode=0o711)
        data = self.path(volume.name)
        sizes.apply(volume, data.parent)
        transfer.mend(data)
        if not data.is_dir():
            data.mkdir(mode=0o755)
            data.chmod(0o755)  # whatever the umask: its users need not be root
        options.attach(volume, data)

    def check(self, volume: Volume) -> None:
        """Refuse what this host cannot make. Raises NotFoundError."""
        options.check(volume)
        sizes.check(volume, self.root)

    def delete(self, name: str) -> None:
        """Remove a volume and its data; absent is no error. Raises ConflictError naming the containers that use it."""
        users = self.users(name)
        if users:
            raise InUseError(f"volume {name} is used by containers {', '.join(users)}", hint="remove those first")
        if (self.root / name).exists():
            # What is mounted there is not ours: let go of before anything is removed.
            options.detach(self.path(name))
            # By one rename: a cut removal must not leave a part of the data under the name.
            (self.root / name).rename(self.root / f"{_DELETED}{secrets.token_hex(8)}")
        self.sweep()
        with self.database.transaction() as tx:
            tx.execute("DELETE FROM volumes WHERE name = ?", (name,))

    def sweep(self) -> None:
        """Remove the data of deleted volumes that a cut removal left. Only under the host's lock."""
        for item in self.root.glob(f"{_DELETED}*"):
            # A mount that somebody made in it since is somebody's data.
            if not mounts.mounted_at_or_below(item):
                sizes.forget(item)
                trees.remove(item, ignore_errors=True)

    def users(self, name: str) -> list[str]:
        """Names of the containers that mount it."""
        found = []
        for row in self.database.query("SELECT name, declared FROM containers ORDER BY name"):
            declared = Container.model_validate_json(row["declared"])
            if any(isinstance(item, VolumeMount) and item.source == name for item in declared.mounts):
                found.append(str(row["name"]))
        return found

    def observe(self, project: str | None, names: Collection[str] = (), *, everything: bool = False) -> list[Observed]:
        """A project's volumes, and those that are named; or all there are."""
        found, asked = [], frozenset(names)
        for row in self.database.query("SELECT * FROM volumes ORDER BY name"):
            if not everything and (project is None or row["project"] != project) and row["name"] not in asked:
                continue
            declared = Volume.model_validate_json(row["declared"])
            defects = self._defects(declared)
            path = str(self.path(declared.name))
            status = Status(state=State.DEFECT if defects else State.READY, path=path)
            found.append(
                Observed(actual=declared, declared=declared, status=status, project=row["project"], defects=defects)
            )
        return found

    def _defects(self, declared: Volume) -> dict[str, str]:
        data = self.path(declared.name)
        if not data.is_dir():
            return {"its directory is gone": "in-place"}
        if declared.is_mount and not mounts.is_mounted(data):
            return {"it is not mounted": "in-place"}
        if not sizes.is_kept(declared, data.parent):
            return {"its size is not limited": "in-place"}
        return {}

    def export(self, name: str, out: BinaryIO) -> None:
        """Write its content as a tar archive. Raises NotFoundError, RuntimeFailureError."""
        self._declared(name)
        transfer.export(self.path(name), out)

    def load(self, name: str, source: BinaryIO, *, replace: bool) -> None:
        """Fill it from a tar archive. Raises NotFoundError, ConflictError naming what runs on it or what is in it."""
        self._make(self._declared(name))
        running = [user for user in self.users(name) if self._runs(user)]
        if running:
            raise ConflictError(f"volume {name} is used by {', '.join(running)}", hint="stop those first")
        transfer.load(self.path(name), source, replace=replace)

    def _runs(self, container: str) -> bool:
        rows = self.database.query("SELECT pid, pid_start, boot_id FROM containers WHERE name = ?", (container,))
        return any(
            row["boot_id"] == boot_id() and row["pid"] and Process(row["pid"], row["pid_start"]).alive for row in rows
        )

    def fill(self, name: str, lowerdirs: Sequence[Path], target: str) -> None:
        """Give an empty volume the image's content at ``target``; ``lowerdirs`` are topmost first. See ``fill``.

        Raises NotFoundError for a volume that is not there.
        """
        if not self.path(name).is_dir():
            raise NotFoundError(f"volume {name} does not exist", hint="declare it, or create it first")
        # Several containers of an apply may want the same: one copies, the others find it full.
        with self._filling:
            fill(self.path(name), lowerdirs, target)
