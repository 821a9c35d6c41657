"""What is refused before any change: it cannot work on this host, or this version does not build it yet."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from pathlib import Path

from bayplan.errors import ConflictError, InUseError, NotFoundError, RuntimeFailureError, UnsupportedError
from bayplan.models import (
    BindMount,
    Container,
    Image,
    ImageReference,
    Kind,
    Network,
    Resource,
    ResourceId,
    Settings,
    Volume,
    VolumeMount,
)
from bayplan.runtime import start_first
from bayplan.runtime.native.containers import grants, storage
from bayplan.runtime.native.containers.records import Records, declaration
from bayplan.runtime.native.containers.spec import sharing, users
from bayplan.runtime.native.images.images import Images
from bayplan.runtime.native.networks import Networks, published
from bayplan.runtime.native.options import check_options
from bayplan.runtime.native.state import Database
from bayplan.runtime.native.volumes import Volumes

_ROOM_BYTES = 4 << 20
_ROOM_FILES = 200


def check(
    resources: Sequence[Resource],
    removing: Collection[ResourceId],
    *,
    networks: Networks,
    volumes: Volumes,
    images: Images,
    database: Database,
    settings: Settings,
) -> None:
    """Raise the first reason against making ``resources`` and ``removing`` others. Reads only."""
    leaving = {item.name for item in removing if item.kind is Kind.CONTAINER}
    replaced = leaving | {item.name for item in resources}
    _check_removals(removing, leaving, networks, volumes, resources)
    _check_images([item.name for item in removing if item.kind is Kind.IMAGE], leaving, images, database)
    if resources:
        _check_space(database.path.parent)
    networks.check_all(
        [item for item in resources if isinstance(item, Network)],
        [item for item in resources if isinstance(item, Container)],
        leaving,
    )
    there = _there(resources, database)
    check_platform = _platform_check(resources, images)
    for resource in resources:
        if isinstance(resource, Volume):
            volumes.check(resource)
        if isinstance(resource, Container):
            start_first.check(resource, "native", shares_ports=True)
            check_options(resource, database.path.parent / "seccomp", settings.oci_runtime)
            storage.check(resource, settings.state_root)
            _check_owners(resource, resources, database)
            _check_binds(resource)
            users.check(resource, _shown(resource, settings))
            _check_named(resource, there)
            check_platform(resource)
    found = [item for item in resources if isinstance(item, Container)]
    families = networks.families([item for item in resources if isinstance(item, Network)])
    published.check(found, database, replaced, networks.name_server.sockets, families)
    if any(item.secrets or item.configs for item in found):
        grants.place(settings)


def _check_space(root: Path) -> None:
    """Room for the records and bundles of a change: one that stops half-way for want of it could not be undone."""
    # Before the first change of a host its directory is not there yet.
    found = os.statvfs(next(path for path in (root, *root.parents) if path.exists()))
    if found.f_bavail * found.f_frsize < _ROOM_BYTES or (found.f_files and found.f_favail < _ROOM_FILES):
        raise RuntimeFailureError(
            f"no space is left: a change needs {_ROOM_BYTES >> 20} MiB and {_ROOM_FILES} files",
            where=str(root),
            hint="free some space",
        )


def _check_removals(
    removing: Collection[ResourceId],
    leaving: Collection[str],
    networks: Networks,
    volumes: Volumes,
    changing: Sequence[Resource],
) -> None:
    """Data and networks that others use stay. Containers that are ``changing`` may leave a network with that."""
    on = {one.name: {place.network for place in one.networks} for one in changing if isinstance(one, Container)}
    for item in removing:
        users = networks.users(item.name) if item.kind is Kind.NETWORK else ()
        users = volumes.users(item.name) if item.kind is Kind.VOLUME else users
        staying = [name for name in users if name not in leaving]
        if item.kind is Kind.NETWORK:
            staying = [name for name in staying if name not in on or item.name in on[name]]
        if staying:
            raise InUseError(f"{item} is used by containers {', '.join(staying)}", hint="remove those first")


def _check_images(names: Collection[str], leaving: Collection[str], images: Images, database: Database) -> None:
    """An image that others run from stays, unless it has another name too."""
    known = images.store.list() if names else {}
    for name in names:
        digest = known.get(str(ImageReference.parse(name)))
        if digest is None or list(known.values()).count(digest) > 1:
            continue
        staying = [user for user in Records(database).images().get(digest, ()) if user not in leaving]
        if staying:
            raise InUseError(f"image {name} is used by containers {', '.join(staying)}", hint="remove those first")


def _check_owners(container: Container, made: Sequence[Resource], database: Database) -> None:
    """Containers whose namespaces are shared are there, or are made in the same run."""
    for kind, owner in sharing.owners(container).items():
        there = {item.name: item for item in made if isinstance(item, Container)}
        rows = database.query("SELECT declared FROM containers WHERE name = ?", (owner,))
        found = there.get(owner) or (declaration(rows[0]["declared"]) if rows else None)
        if found is None or owner == container.name:
            raise NotFoundError(
                f"{kind} of container {owner} is shared, and it does not exist",
                where=str(container.id),
                hint="declare it, or correct the name",
            )
        if kind == "ipc" and found.ipc not in (None, "shareable"):
            raise ConflictError(
                f"container {owner} does not share its IPC namespace: its ipc is {found.ipc}",
                where=str(container.id),
                hint="set its ipc to shareable",
            )


def _check_binds(container: Container) -> None:
    for mount in container.mounts:
        if isinstance(mount, BindMount) and not (mount.create_host_path or Path(mount.source).exists()):
            raise NotFoundError(f"bind source {mount.source} does not exist", where=str(container.id), hint="create it")


def _shown(container: Container, settings: Settings) -> dict[str, Path]:
    """Where files come from that a container with numbers of its own sees."""
    root = settings.state_root
    found = {"the state root": next(item for item in (root, *root.parents) if item.is_dir())}
    return found | {f"bind {one.source}": Path(one.source) for one in container.mounts if isinstance(one, BindMount)}


def _there(made: Sequence[Resource], database: Database) -> dict[Kind, set[str]]:
    """Names of the networks and volumes that are there, or are made in the same run."""
    found = {}
    for kind in (Kind.NETWORK, Kind.VOLUME):
        rows = database.query(f"SELECT name FROM {kind.value}s")  # noqa: S608 - our own words
        found[kind] = {str(row[0]) for row in rows} | {item.name for item in made if item.kind is kind}
    return found


def _check_named(container: Container, there: Mapping[Kind, Collection[str]]) -> None:
    """The networks and volumes that a container names are there."""
    named = {
        Kind.NETWORK: [endpoint.network for endpoint in container.networks],
        Kind.VOLUME: [mount.source for mount in container.mounts if isinstance(mount, VolumeMount)],
    }
    for kind, names in named.items():
        for name in names:
            if name not in there[kind]:
                raise NotFoundError(
                    f"{kind.value} {name} does not exist",
                    where=str(container.id),
                    hint="declare it, or correct the name",
                )


def _platform_check(made: Sequence[Resource], images: Images) -> Callable[[Container], None]:
    """Checks that the host runs the image's programs, where it is known for which platform they are.

    Each image is looked at once, however many containers run from it.
    """
    asked = {item.name: item.platform or "" for item in made if isinstance(item, Image)}

    @cache
    def refusal(image: str) -> tuple[str, str]:
        from bayplan.runtime.native.images.build import platforms

        platform = asked[image] if image in asked else images.platform(image)
        try:
            reason = platforms.obstacle(platforms.parse(platform)) if platform else ""
        except ValueError:
            reason = ""  # told of with the image
        what = f"image {image} is for {platform}, which does not run on this host: {reason}"
        return what if reason else "", platforms.EMULATOR

    def check_platform(container: Container) -> None:
        what, hint = refusal(container.image)
        if what:
            raise UnsupportedError(what, where=str(container.id), hint=hint)

    return check_platform
