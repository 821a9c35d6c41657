"""Volumes: a directory each, ``<state_root>/volumes/<name>/_data``, and a record."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bayplan.errors import ConflictError, NotFoundError, RuntimeFailureError
from bayplan.models import Container, Settings, Volume, VolumeMount
from bayplan.runtime.native.state.database import Database
from bayplan.runtime.protocol import Observed, State, Status
from bayplan.system import mounts, namespaces


class Volumes:
    """All volumes of one core. Safe to use from many threads."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.root = settings.state_root / "volumes"
        self.database = database

    def path(self, name: str) -> Path:
        """Directory of the data. Raises NotFoundError for a volume that has no record."""
        if not self.database.query("SELECT 1 FROM volumes WHERE name = ?", (name,)):
            raise NotFoundError(f"volume {name} does not exist", hint="declare it, or create it first")
        return self.root / name / "_data"

    def create(self, volume: Volume, project: str) -> None:
        """Make a volume; one that is there keeps its data and takes the declaration."""
        with self.database.transaction() as tx:
            tx.execute(
                "INSERT INTO volumes VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET declared = excluded.declared",
                (volume.name, project, volume.model_dump_json(), datetime.now(UTC).isoformat()),
            )
        (self.root / volume.name).mkdir(parents=True, exist_ok=True, mode=0o711)
        (self.root / volume.name / "_data").mkdir(exist_ok=True, mode=0o755)

    def update_labels(self, volume: Volume) -> None:
        """Record changed labels."""
        with self.database.transaction() as tx:
            tx.execute("UPDATE volumes SET declared = ? WHERE name = ?", (volume.model_dump_json(), volume.name))

    def heal(self, name: str) -> None:
        """Nothing of a volume can be mended in place: lost data does not come back. Raises NotFoundError."""
        self.path(name)

    def delete(self, name: str) -> None:
        """Remove a volume and its data; absent is no error. Raises ConflictError naming the containers that use it."""
        users = self.users(name)
        if users:
            raise ConflictError(f"volume {name} is used by container {', '.join(users)}", hint="remove those first")
        if (self.root / name).exists():
            shutil.rmtree(self.root / name)
        with self.database.transaction() as tx:
            tx.execute("DELETE FROM volumes WHERE name = ?", (name,))

    def users(self, name: str) -> list[str]:
        """Names of the containers that mount it."""
        found = []
        for row in self.database.query("SELECT name, declared FROM containers ORDER BY name"):
            declared = Container.model_validate_json(row["declared"])
            if any(isinstance(item, VolumeMount) and item.source == name for item in declared.mounts):
                found.append(str(row["name"]))
        return found

    def observe(self, project: str | None, names: Collection[str] = ()) -> list[Observed]:
        """A project's volumes, and those that are named."""
        found = []
        for row in self.database.query("SELECT * FROM volumes ORDER BY name"):
            if (project is None or row["project"] != project) and row["name"] not in names:
                continue
            declared = Volume.model_validate_json(row["declared"])
            whole = (self.root / declared.name / "_data").is_dir()
            # Making the directory anew would hide that data is lost; ``heal`` never does it behind the user's back.
            defects = {} if whole else {f"the data directory of volume {declared.name} is missing": "re-create"}
            status = Status(state=State.READY if whole else State.DEFECT)
            found.append(
                Observed(actual=declared, declared=declared, status=status, project=row["project"], defects=defects)
            )
        return found

    def fill(self, name: str, lowerdirs: Sequence[Path], target: str) -> None:
        """Give an empty volume what the image has at ``target``, with owners and modes. Raises RuntimeFailureError.

        A path that leads through a symbolic link is not followed (it may lead out of the image): nothing is copied.
        The copy is made aside and renamed, so that a kill leaves the volume empty or whole.
        """
        data = self.path(name)
        if any(data.iterdir()):
            return
        aside = data.with_name("_fill")

        def copy() -> bool:
            top = lowerdirs[0]
            if len(lowerdirs) > 1:
                top = data.with_name("_view")
                top.mkdir(exist_ok=True)
                mounts.mount_overlay(lowerdirs, None, None, top)
            source = top
            for part in Path(target).parts[1:]:
                source = source / part
                if source.is_symlink() or not source.is_dir():
                    return False
            shutil.rmtree(aside, ignore_errors=True)
            done = subprocess.run(["cp", "-a", "--", str(source), str(aside)], capture_output=True, check=False)
            if done.returncode:
                output = done.stderr.decode(errors="replace")
                raise RuntimeFailureError(f"volume {name} cannot be filled from the image", output=output)
            return True

        try:
            if namespaces.in_private_mounts(copy):
                aside.rename(data)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
            view = data.with_name("_view")
            if view.exists():
                view.rmdir()
