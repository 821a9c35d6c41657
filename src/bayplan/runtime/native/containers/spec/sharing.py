"""Namespaces: a container's own, the host's, or another container's."""

from __future__ import annotations

from pathlib import Path

from bayplan.models import Container

_CONTAINER = "container:"


def owners(container: Container) -> dict[str, str]:
    """Kind of namespace (of the OCI specification) to the name of the container whose it is."""
    asked = {"network": container.network_mode, "pid": container.pid, "ipc": container.ipc}
    return {
        kind: value.removeprefix(_CONTAINER) for kind, value in asked.items() if value and value.startswith(_CONTAINER)
    }


def section(container: Container, netns: Path | None) -> list[dict[str, str]]:
    """``linux.namespaces``; those of other containers are put in at each start (``join``)."""
    shared = owners(container)
    hosts = {"pid": container.pid, "ipc": container.ipc, "uts": container.uts, "cgroup": container.cgroup}
    kinds = [{"type": name} for name, mode in hosts.items() if mode != "host" and name not in shared]
    kinds.append({"type": "mount"})
    if netns is not None:
        kinds.append({"type": "network", "path": str(netns)})
    elif container.network_mode != "host":
        # Without a path the runtime makes an empty one; sharing the host's is only ever asked for by name.
        kinds.append({"type": "network"})
    return kinds
