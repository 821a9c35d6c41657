"""``check``: whether everything that is recorded is there and is what it was. Reads only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from bayplan.errors import BayplanError
from bayplan.models import ImageReference
from bayplan.runtime.native.containers import Containers
from bayplan.runtime.native.images.images import Images
from bayplan.runtime.native.images.soundness import damage
from bayplan.runtime.native.volumes import Volumes
from bayplan.runtime.verbs import Finding


def findings(images: Images, containers: Containers, volumes: Volumes) -> Iterator[Finding]:
    """What is damaged, images first."""
    yield from _images(images, containers)
    yield from _containers(containers)
    for item in volumes.observe(None, everything=True):
        for what in item.defects:
            yield Finding(str(item.id), what, "apply again")
    yield from _strays(containers, volumes)


def _images(images: Images, containers: Containers) -> Iterator[Finding]:
    named: dict[str, list[str]] = {}
    for name, digest in (*images.store.list().items(), *images.store.indexes().items()):
        named.setdefault(digest, []).append(ImageReference.parse(name).familiar)
    told = set()
    for digest in {**named, **containers.records.images()}:
        if not digest:
            continue
        called = ", ".join(sorted(named.get(digest, ()))) or digest
        for blob, what in damage(images.store, digest, deep=True):
            if (called, blob) in told:  # of the name's own platform, and of the index that lists it
                continue
            told.add((called, blob))
            yield Finding(f"image {called}", f"blob {blob} {what}", f"bayplan pull {called.split(', ')[0]}")


def _containers(containers: Containers) -> Iterator[Finding]:
    for row in containers.records.database.query("SELECT id, name, phase FROM containers ORDER BY name"):
        where = f"container {row['name']}"
        if row["phase"] != "created":
            yield Finding(where, "an interrupted change left it half made", "apply again")
            continue
        try:
            facts = json.loads(containers.records.bundle(row["id"])["facts"])
        except (BayplanError, ValueError) as error:
            yield Finding(where, f"its bundle cannot be read: {error}", "apply again")
            continue
        for layer in facts["lowerdirs"]:
            if not Path(layer).is_dir():
                image = containers.declared(row["id"]).image
                yield Finding(where, f"its layer {layer} is gone", f"bayplan pull {image}, then restart it")


def _strays(containers: Containers, volumes: Volumes) -> Iterator[Finding]:
    """Directories that no record names: a power cut may take the last records, and an older backup does.

    Never removed by us: they may be all that is left of somebody's data.
    """
    roots = containers.settings.state_root, containers.settings.run_root
    there = [item for root in roots for item in sorted((root / "containers").glob("*"))]
    there += sorted(item for item in volumes.root.glob("*") if not item.name.startswith("."))
    # Read after the directories: a record is made before them, and goes after them.
    known = {str(row[0]) for row in containers.records.database.query("SELECT id FROM containers")}
    known |= {str(row[0]) for row in containers.records.database.query("SELECT name FROM volumes")}
    for item in there:
        if item.name not in known and item.exists():
            yield Finding(f"directory {item}", "no record names it", "restore the record file, or remove it by hand")
