"""A user namespace of its own: the container's numbers are a range of the host's that nobody else has.

Layers, volumes and binds are shown through the map, so that files belong inside to whom they belong on disk.
"""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bayplan.errors import ConflictError, NotBuiltYetError, UnsupportedError
from bayplan.models import Container
from bayplan.runtime.native.containers.paths import Paths
from bayplan.runtime.native.containers.spec import mounts
from bayplan.runtime.native.state.database import Database
from bayplan.system import idmap, namespaces
from bayplan.system.namespaces import NetworkNamespace

_FIRST = 0x70000000
"""Above what subuid(5) and systemd-nspawn(1) hand out; the ranges end below 2^31, where signed numbers end."""
_RANGES = 4095
_handing_out = threading.Lock()
_given: set[int] = set()


def is_own(container: Container) -> bool:
    """Whether it has a range of its own."""
    return container.userns_mode == "auto"


def allocate(database: Database) -> int:
    """The first number of a range that no container of this core has. Raises ConflictError when there is none."""
    with _handing_out:
        taken = {json.loads(row[0]).get("users") for row in database.query("SELECT facts FROM bundles")} | _given
        for base in range(_FIRST, _FIRST + _RANGES * idmap.COUNT, idmap.COUNT):
            if base not in taken:
                _given.add(base)
                return base
    raise ConflictError(f"all {_RANGES} ranges of user numbers are taken", hint="remove containers")


def prepare(spec: dict[str, Any], base: int, bundle: Path) -> list[tuple[str, str]]:
    """Write the map into the configuration; the binds to be shown through it, as source and name below the bundle."""
    linux = spec["linux"]
    linux["namespaces"].append({"type": "user"})
    whole = [{"containerID": 0, "hostID": base, "size": idmap.COUNT}]
    linux["uidMappings"] = linux["gidMappings"] = whole
    found = []
    for entry in spec["mounts"]:
        source = entry["source"]
        if "bind" not in entry["options"] and "rbind" not in entry["options"]:
            continue
        if Path(source).parent == bundle and not Path(source).name.startswith("part-"):
            continue  # hostname, hosts, resolv.conf: everybody may read them
        name = mounts.part(entry["destination"])
        found.append((source, name))
        entry["source"] = str(bundle / name)
    return found


def show_layers(lowerdirs: Sequence[Path], paths: Paths, base: int, userns: int) -> list[Path]:
    """The layers through the map, in the mount namespace of the caller; its own layer's root becomes its root's."""
    found = []
    for number, layer in enumerate(lowerdirs):
        place = paths.run / f"layer-{number}"
        place.mkdir(exist_ok=True, mode=0o700)
        idmap.show(str(layer), str(place), userns)
        found.append(place)
    if paths.upper.stat().st_uid == 0:
        os.chown(paths.upper, base, base)
    return found


def show_mounts(found: Sequence[Sequence[str]], bundle: Path, userns: int) -> None:
    """The binds through the map."""
    for source, name in found:
        place = bundle / name
        if not place.exists():
            if stat.S_ISDIR(os.stat(source).st_mode):  # noqa: PTH116 - may be a descriptor's path
                place.mkdir(mode=0o700)
            else:
                place.touch()
        idmap.show(source, str(place), userns)


def open_ports(netns: NetworkNamespace) -> None:
    """Let its root listen on every port: the links' namespace is not of its user namespace, where its rights end."""
    netns.visit(lambda: Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").write_text("0"))


def open_way(paths: Paths, base: int) -> None:
    """Let the container's root, and nobody else, pass to its bundle, as the runtime does when it makes it."""
    for directory in (paths.run.parent.parent, paths.run.parent):
        directory.chmod(0o711)
    os.chown(paths.run, 0, base)
    paths.run.chmod(0o710)


def refuse_shifted(facts: Mapping[str, Any], name: str) -> None:
    """Raise NotBuiltYetError for one whose own layer holds numbers of its range: nobody would know whose they are."""
    if facts.get("users") is not None:
        raise NotBuiltYetError(
            "its files have numbers of its own range of users: this is not built for userns_mode auto yet",
            where=f"container {name}",
            hint="use exec and a volume",
        )


def check(container: Container, places: Mapping[str, Path]) -> None:
    """Refuse what does not go with it on this host. Raises ConflictError, UnsupportedError."""
    if not is_own(container):
        return
    where = str(container.id)
    for name, value in _shared(container):
        raise ConflictError(f"userns_mode auto needs namespaces of its own, not {name}: {value}", where=where)

    def try_them() -> None:
        with idmap.user_map(_FIRST) as userns:
            for what, place in places.items():
                try:
                    idmap.show(str(place), str(place), userns)
                except OSError as error:
                    raise UnsupportedError(
                        f"userns_mode auto: {what}: {error.strerror}", where=where, hint="move it to ext4, XFS or tmpfs"
                    ) from error

    try:
        namespaces.in_private_mounts(try_them)
    except UnsupportedError as error:
        error.where = error.where or where
        raise


def _shared(container: Container) -> Iterator[tuple[str, str]]:
    for name in ("network_mode", "pid", "ipc", "uts", "cgroup"):
        value = getattr(container, name)
        if value == "host" or (value or "").startswith("container:"):
            yield name, value
    if container.privileged:
        yield "privileged", "true"
