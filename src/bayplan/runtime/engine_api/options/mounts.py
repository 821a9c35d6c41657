"""``mounts``: volumes, binds, tmpfs and images. The API has three places for them; each is read, two are written.

``Mounts`` refuses what is missing, as we do; ``Binds`` makes a missing directory, which older engines do nowhere else;
``Tmpfs`` alone takes every mount option.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bayplan.models import BindMount, Container, FileGrant, ImageMount, Mount, TmpfsMount, VolumeMount
from bayplan.runtime.engine_api.engine import Engine
from bayplan.runtime.engine_api.options.mount_reading import of_bind, of_structured, of_tmpfs
from bayplan.runtime.engine_api.options.option import Gap, Option
from bayplan.runtime.engine_api.options.shape import Body, Shape
from bayplan.values import frozen

_WITHOUT_FILE = (
    "with read_only it takes files of its own host alone, as they are: give it a file, without owner and mode"
)
_CREATES = (1, 42)
_RECURSION = (1, 44)
_SUBPATH = (1, 45)
_IMAGES = (1, 48)


@frozen
class Mounts(Option):
    """What appears in its file tree besides its image."""

    def write(self, wanted: Container, body: Body) -> None:
        """Each where the engine takes all of it."""
        structured, binds, tmpfs = list[dict[str, Any]](), list[str](), dict[str, str]()
        for mount in wanted.mounts:
            match mount:
                case TmpfsMount():
                    tmpfs[mount.target] = _tmpfs_options(mount)
                case BindMount() if mount.create_host_path and not body.engine.speaks(_CREATES):
                    flags = "ro" if mount.read_only else "rw"
                    binds.append(f"{mount.source}:{mount.target}:{flags},{mount.propagation}")
                case BindMount():
                    structured.append(_bind(mount))
                case VolumeMount():
                    structured.append(_volume(mount))
                case ImageMount():
                    structured.append(_image(mount))
        structured += [_made("bind", str(one.file), one.target, read_only=True) for one in bound(wanted, body.engine)]
        for key, value in (("Mounts", structured), ("Binds", binds), ("Tmpfs", tmpfs)):
            if value:
                body.host[key] = value

    def read(self, shape: Shape) -> Any:
        """By target. Volumes that only the image asked for are not among them.

        Whether a missing directory was to be made says nothing of what is there.
        """
        found: list[Mount] = [
            *(of_structured(one) for one in shape.host.get("Mounts") or ()),
            *(of_bind(text) for text in shape.host.get("Binds") or ()),
            *(of_tmpfs(target, text) for target, text in (shape.host.get("Tmpfs") or {}).items()),
        ]
        return tuple(sorted(found, key=lambda mount: mount.target))

    def foreign(self, wanted: Container, actual: Container) -> Any:
        """Without the files of secrets and configs, which Compose binds."""
        given = {(grant.file, grant.target) for grant in (*wanted.secrets, *wanted.configs)}
        return tuple(
            mount
            for mount in actual.mounts
            if not (isinstance(mount, BindMount) and (mount.source, mount.target) in given)
        )

    def gaps(self, wanted: Container, engine: Engine) -> Iterator[Gap]:
        """Parts of mounts that came with later versions; files that can neither be bound nor put."""
        for kind in ("secrets", "configs"):
            for grant in getattr(wanted, kind) if wanted.read_only else ():
                if grant not in bound(wanted, engine):
                    yield f"{kind}[{grant.source}]", _WITHOUT_FILE
        for mount in wanted.mounts:
            match mount:
                case ImageMount() if not engine.speaks(_IMAGES):
                    yield f"mounts[{mount.target}]", f"a mount of an image needs {engine.release(_IMAGES)}"
                case VolumeMount() if mount.subpath and not engine.speaks(_SUBPATH):
                    yield f"mounts[{mount.target}].subpath", f"it needs {engine.release(_SUBPATH)}"
                case BindMount() if mount.recursive == "readonly" and not engine.speaks(_RECURSION):
                    yield f"mounts[{mount.target}].recursive", f"readonly needs {engine.release(_RECURSION)}"
                case BindMount() if mount.create_host_path and not engine.speaks(_CREATES):
                    if mount.recursive == "disabled":
                        reason = f"disabled, with create_host_path, needs {engine.release(_CREATES)}"
                        yield f"mounts[{mount.target}].recursive", reason
                    if ":" in mount.source + mount.target:
                        reason = f"a colon in a path, with create_host_path, needs {engine.release(_CREATES)}"
                        yield f"mounts[{mount.target}]", reason


def bound(wanted: Container, engine: Engine) -> tuple[FileGrant, ...]:
    """Secrets and configs that are bound from their files: nothing can be put into a container that is read-only."""
    if not (wanted.read_only and engine.local):
        return ()
    return tuple(grant for grant in (*wanted.secrets, *wanted.configs) if grant.file and _is_plain(grant))


def _is_plain(grant: FileGrant) -> bool:
    """Whether it asks for no owner and mode of its own: those of a file that is bound are the file's."""
    return (grant.uid, grant.gid, grant.mode) == (0, 0, 0o444)


def _tmpfs_options(mount: TmpfsMount) -> str:
    """Options of mount(8). Programs in it can be run unless that is forbidden: the engine's default forbids it."""
    found = ["ro" if mount.read_only else "rw", "noexec" if mount.noexec else "exec"]
    if mount.size is not None:
        found.append(f"size={int(mount.size)}")
    if mount.mode is not None:
        found.append(f"mode={mount.mode:o}")
    found += [f"{name}={value}" for name in ("uid", "gid") if (value := getattr(mount, name)) is not None]
    return ",".join(found)


def _bind(mount: BindMount) -> dict[str, Any]:
    options: dict[str, Any] = {"Propagation": mount.propagation}
    if mount.create_host_path:
        options["CreateMountpoint"] = True
    if mount.recursive == "disabled":
        options["NonRecursive"] = True
    elif mount.recursive == "readonly":
        options["ReadOnlyForceRecursive"] = True
    elif mount.recursive == "writable":
        options["ReadOnlyNonRecursive"] = True
    return _made("bind", mount.source, mount.target, read_only=mount.read_only) | {"BindOptions": options}


def _volume(mount: VolumeMount) -> dict[str, Any]:
    options: dict[str, Any] = {"NoCopy": True} if mount.nocopy else {}
    if mount.subpath:
        options["Subpath"] = mount.subpath
    return _made("volume", mount.source, mount.target, read_only=mount.read_only) | (
        {"VolumeOptions": options} if options else {}
    )


def _image(mount: ImageMount) -> dict[str, Any]:
    options = {"ImageOptions": {"Subpath": mount.subpath}} if mount.subpath else {}
    return {"Type": "image", "Source": mount.source, "Target": mount.target} | options


def _made(kind: str, source: str, target: str, *, read_only: bool) -> dict[str, Any]:
    return {"Type": kind, "Source": source, "Target": target, "ReadOnly": read_only}


OPTIONS: tuple[Option, ...] = (Mounts("mounts"),)
