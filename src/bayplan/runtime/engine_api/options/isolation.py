"""Options of namespaces, security, devices, and of what is written into /etc."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bayplan.models import Container, Device
from bayplan.runtime.engine_api.engine import Engine
from bayplan.runtime.engine_api.options.option import Gap, Option, Plain, build
from bayplan.runtime.engine_api.options.shape import Body, Shape
from bayplan.values import frozen

_UNCONFINED_PATHS = ("systempaths=unconfined", "unmask=ALL")


@frozen
class Capabilities(Plain):
    """A set of capabilities; the engines write them with and without ``CAP_``."""

    def read(self, shape: Shape) -> Any:
        """Sorted, without the prefix."""
        return tuple(sorted({str(name).upper().removeprefix("CAP_") for name in shape.host.get(self.key) or ()}))


@frozen
class Shared(Plain):
    """A namespace that may be another container's."""

    def read(self, shape: Shape) -> Any:
        """Owners by their names."""
        found = shape.owner(str(shape.host.get(self.key) or ""))
        return None if not found or found in self.defaults else found


@frozen
class CgroupNamespace(Plain):
    """Which is the default depends on the engine's host."""

    def read(self, shape: Shape) -> Any:
        """Unset for the default."""
        found = shape.host.get(self.key) or None
        return None if found == ("private" if shape.engine.private_cgroups else "host") else found


@frozen
class UserNamespace(Plain):
    """Docker maps all containers or none: a range of its own for one is Podman's."""

    def gaps(self, wanted: Container, engine: Engine) -> Iterator[Gap]:
        """Of one container alone."""
        if wanted.userns_mode == "auto" and engine.kind == "docker":
            yield "userns_mode", "auto: it maps the users of all its containers alike (dockerd --userns-remap)"


@frozen
class SecurityOptions(Option):
    """What `docker run --security-opt` takes: its client reads profiles and translates what concerns paths."""

    def write(self, wanted: Container, body: Body) -> None:
        """A profile's content instead of its path, no masked paths for unconfined ones."""
        found: list[str] = []
        for text in wanted.security_opt:
            name, _, value = text.replace(":", "=", 1).partition("=") if "=" not in text else text.partition("=")
            if text in _UNCONFINED_PATHS:
                body.host["MaskedPaths"] = body.host["ReadonlyPaths"] = []
            elif name == "seccomp" and value.startswith("/"):
                found.append(f"seccomp={_profile(value)}")
            elif name == "seccomp" and value == "builtin" and not body.engine.speaks((1, 42)):
                continue  # the default where nothing else is said; older ones have no word for it
            else:
                found.append(text)
        if found:
            body.host["SecurityOpt"] = found

    def read(self, shape: Shape) -> Any:
        """In one spelling; what privileged brings along is no difference."""
        found = {_spelled(text) for text in shape.host.get("SecurityOpt") or ()}
        if shape.host.get("Privileged"):
            found -= {"label=disable"}
        elif shape.host.get("MaskedPaths") == [] and shape.host.get("ReadonlyPaths") == []:
            found.add("systempaths=unconfined")
        return tuple(sorted(found))

    def gaps(self, wanted: Container, engine: Engine) -> Iterator[Gap]:
        """Masking single paths is Podman's."""
        for text in wanted.security_opt:
            if text.startswith(("mask=", "unmask=")) and text not in _UNCONFINED_PATHS and engine.kind == "docker":
                yield "security_opt", f"{text}: it masks its own list of paths, or none (systempaths=unconfined)"


def _profile(path: str) -> str:
    """The profile as the API wants it. Raises OSError, ValueError (checks asked for it before)."""
    return json.dumps(json.loads(Path(path).read_text()), separators=(",", ":"))


def _spelled(text: str) -> str:
    name, mark, value = text.partition("=")
    if not mark:
        name, mark, value = text.partition(":")
    if name == "no-new-privileges":
        return name if value in ("", "true") else f"{name}=false"
    return f"{name}={value}"


@frozen
class Devices(Option):
    """Devices of the host."""

    def write(self, wanted: Container, body: Body) -> None:
        """Paths and permissions."""
        if wanted.devices:
            body.host["Devices"] = [
                {"PathOnHost": one.source, "PathInContainer": one.target, "CgroupPermissions": one.permissions}
                for one in wanted.devices
            ]

    def read(self, shape: Shape) -> Any:
        """By their paths inside."""
        found = shape.host.get("Devices") or ()
        return tuple(
            build(
                Device,
                source=one["PathOnHost"],
                target=one["PathInContainer"],
                permissions="".join(mode for mode in "rwm" if mode in one["CgroupPermissions"]),
            )
            for one in sorted(found, key=lambda one: one["PathInContainer"])
        )


@frozen
class CdiDevices(Option):
    """Devices by their drivers' names."""

    def write(self, wanted: Container, body: Body) -> None:
        """One request for all."""
        if wanted.cdi_devices:
            body.host["DeviceRequests"] = [{"Driver": "cdi", "DeviceIDs": list(wanted.cdi_devices)}]

    def read(self, shape: Shape) -> Any:
        """Those of every request to CDI."""
        requests = shape.host.get("DeviceRequests") or ()
        return tuple(name for one in requests if one.get("Driver") == "cdi" for name in one.get("DeviceIDs") or ())


OPTIONS: tuple[Option, ...] = (
    Plain("privileged", key="Privileged", back=bool),
    Plain("read_only", key="ReadonlyRootfs", back=bool),
    Capabilities("cap_add", key="CapAdd", to=list),
    Capabilities("cap_drop", key="CapDrop", to=list),
    SecurityOptions("security_opt"),
    Devices("devices"),
    CdiDevices("cdi_devices", since=(1, 44)),
    Plain("device_cgroup_rules", key="DeviceCgroupRules", to=list, back=tuple),
    Shared("pid", key="PidMode"),
    Shared("ipc", key="IpcMode", defaults=("private", "shareable")),
    Plain("uts", key="UTSMode"),
    CgroupNamespace("cgroup", key="CgroupnsMode"),
    UserNamespace("userns_mode", key="UsernsMode"),
    Plain("sysctls", key="Sysctls", to=dict, back=dict),
)
