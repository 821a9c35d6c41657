"""The content of a volume, through a container that is never started: an engine has no other door to it."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, BinaryIO

from bayplan.errors import InUseError, UnsupportedError
from bayplan.runtime.engine_api.answers import AbsentError
from bayplan.runtime.engine_api.bases import whole_id
from bayplan.runtime.engine_api.client import EngineClient, told
from bayplan.runtime.engine_api.images.transfer import lines
from bayplan.system import copying

_PLACE = "/volume"
_TAR = {"Content-Type": "application/x-tar"}
_PIECE = 1 << 20
HELPER = "io.bayplan.helper"
"""Label of such a container and its empty image: what an interrupted one left is removed by the next."""


def export(client: EngineClient, name: str, out: BinaryIO) -> None:
    """Write it as a tar archive. Raises NotFoundError."""
    if client.kind == "podman":
        _read_here(client, name, out)
        return
    with _opened(client, name) as container:
        for piece in client.streamed("GET", f"/containers/{container}/archive", query={"path": f"{_PLACE}/."}):
            out.write(piece)


def _read_here(client: EngineClient, name: str, out: BinaryIO) -> None:
    """From its directory: Podman's archives give everything to root. Raises UnsupportedError on another host."""
    with told(f"volume {name}"):
        place = str(client.call("GET", f"/volumes/{name}")["Mountpoint"])
    if not client.is_local or os.geteuid() != 0:
        raise UnsupportedError(
            f"{client.kind} {client.engine_version} cannot export a volume with the owners of its files",
            where=f"volume {name}",
            hint="run it as root on the engine's host",
        )
    with copying.host_root() as host:
        copying.read(host, f"{place}/.", out, ".")


def is_empty(client: EngineClient, name: str) -> bool:
    """Whether nothing is in it."""
    with _opened(client, name) as container:
        seen = io.BytesIO()
        for piece in client.streamed("GET", f"/containers/{container}/archive", query={"path": f"{_PLACE}/."}):
            seen.write(piece)
            if seen.tell() > 1 << 16:
                return False
        seen.seek(0)
        with tarfile.open(fileobj=seen) as tar:
            return all(item.name.strip("./") == "" for item in tar)


def fill(client: EngineClient, name: str, source: IO[bytes]) -> None:
    """Put a tar archive into it; what is there already stays beside it."""
    with _opened(client, name) as container:
        pieces = iter(lambda: source.read(_PIECE), b"")
        for _ in client.streamed(
            "PUT", f"/containers/{container}/archive", query={"path": _PLACE}, headers=_TAR, data=pieces
        ):
            pass


def emptied(client: EngineClient, name: str) -> None:
    """Make it anew, with its driver, options and labels. Raises ConflictError while a container has it."""
    with told(f"volume {name}"):
        found: Mapping[str, Any] = client.call("GET", f"/volumes/{name}")
        client.call("DELETE", f"/volumes/{name}")
        body = {
            "Name": name,
            "Driver": found.get("Driver") or "local",
            "DriverOpts": found.get("Options") or {},
            "Labels": found.get("Labels") or {},
        }
        client.call("POST", "/volumes/create", body=body)


@contextmanager
def _opened(client: EngineClient, name: str) -> Iterator[str]:
    """A container that mounts it, of an image that is empty but for the place."""
    with told(f"volume {name}"):
        client.call("GET", f"/volumes/{name}")
        clear(client)
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            place = tarfile.TarInfo(_PLACE.lstrip("/"))
            place.type, place.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(place)
        query, image = {"fromSrc": "-", "changes": f"LABEL {HELPER}=true"}, ""
        for event in lines(
            client.streamed("POST", "/images/create", query=query, headers=_TAR, data=archive.getvalue())
        ):
            image = whole_id(str(event.get("status") or image).strip())
        try:
            body = {
                "Image": image,
                "Cmd": ["none"],
                "Labels": {HELPER: "true"},
                "NetworkDisabled": True,
                "HostConfig": {
                    "NetworkMode": "none",
                    "Mounts": [
                        {
                            "Type": "volume",
                            "Source": name,
                            "Target": _PLACE,
                            "VolumeOptions": {"NoCopy": True},
                        }
                    ],
                },
            }
            container = str(client.call("POST", "/containers/create", body=body)["Id"])
            try:
                yield container
            finally:
                client.call("DELETE", f"/containers/{container}", query={"force": True})
        finally:
            client.call("DELETE", f"/images/{image}", query={"force": True})


def clear(client: EngineClient) -> None:
    """Remove what an interrupted one left."""
    marked = {"filters": {"label": [f"{HELPER}=true"]}}
    for found in client.call("GET", "/containers/json", query={"all": True, **marked}):
        client.call("DELETE", f"/containers/{found['Id']}", query={"force": True})
    for found in client.call("GET", "/images/json", query=marked):
        try:
            client.call("DELETE", f"/images/{found['Id']}", query={"force": True})
        except AbsentError:
            continue


def refuse_used(name: str, users: tuple[str, ...]) -> None:
    """Raises ConflictError naming them."""
    if users:
        raise InUseError(f"volume {name} is used by containers {', '.join(users)}", hint="remove those first")
