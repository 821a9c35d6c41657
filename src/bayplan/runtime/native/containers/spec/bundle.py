"""The whole configuration, with secure defaults.

Nothing of an image reaches the runtime's own annotations; capabilities are fewer than Docker's 14 (NET_RAW, MKNOD and
AUDIT_WRITE are left out), none is inheritable; no_new_privs is on; the cgroup tree is read-only.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayplan.models import Container, Settings
from bayplan.runtime.native.containers import groups
from bayplan.runtime.native.containers.crun import is_crun
from bayplan.runtime.native.containers.spec import cdi, isolation, mounts, process, resources, sharing
from bayplan.runtime.native.containers.users import User
from bayplan.values import frozen


@frozen
class Bundle:
    """What a container is made of besides its declaration."""

    container_id: str
    directory: Path
    arguments: tuple[str, ...]
    environment: tuple[str, ...]
    working_dir: str
    user: User
    netns: Path | None
    """Network namespace to join; None is a new, empty one, or the host's with network_mode host."""
    volumes: Mapping[str, Path]
    """Volume name to the directory that holds its data."""


def build_spec(container: Container, bundle: Bundle, settings: Settings) -> dict[str, Any]:
    """config.json as JSON values."""
    held = isolation.capabilities(container)
    hidden, read_only = isolation.guarded_paths(container)
    devices, rules = isolation.devices(container)
    annotations, filtered = dict(container.annotations), {}
    if is_crun(settings.oci_runtime):
        annotations |= isolation.seccomp_annotation(container, held, settings.state_root / "seccomp")
    else:
        filtered = isolation.seccomp_section(container, held)
    named = {} if container.uts == "host" else {"hostname": container.hostname or bundle.container_id[:12]}
    spec: dict[str, Any] = {
        "ociVersion": "1.0.2",
        **named,
        "root": {"path": "rootfs", "readonly": container.read_only},
        "process": process.section(
            container, bundle.arguments, bundle.environment, bundle.working_dir, bundle.user, held
        ),
        "mounts": mounts.section(container, bundle.directory, bundle.volumes),
        "annotations": annotations,
        "linux": {
            "cgroupsPath": groups.of(container, settings, bundle.container_id),
            "namespaces": sharing.section(container, bundle.netns),
            "resources": {**resources.limits(container.resources), "devices": rules},
            "devices": devices,
            "sysctl": isolation.sysctls(container),
            "maskedPaths": hidden,
            "readonlyPaths": read_only,
            **mounts.root_propagation(container),
            **filtered,
        },
    }
    cdi.apply(container, spec)
    return spec
