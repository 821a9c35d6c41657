"""What takes isolation away, wherever it is declared: directories of the host, strong capabilities."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator

_STRONG_CAPABILITIES = frozenset(
    [
        *("ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO", "SYS_BOOT", "SYS_TIME", "SYSLOG", "NET_ADMIN"),
        *("DAC_READ_SEARCH", "BPF", "PERFMON", "MAC_ADMIN", "MAC_OVERRIDE", "AUDIT_CONTROL", "CHECKPOINT_RESTORE"),
    ]
)
"""Those whose effect does not end with the container's namespaces (capabilities(7))."""
_ENGINE_SOCKETS = frozenset(
    {"docker.sock", "podman.sock", "containerd.sock", "containerd.sock.ttrpc", "crio.sock", "buildkitd.sock"}
)
_OF_THE_HOST = frozenset(
    [
        *("/", "/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/root", "/run", "/sbin", "/sys", "/usr"),
        *("/var", "/var/lib", "/var/lib/bayplan", "/var/lib/containers", "/var/lib/docker", "/var/run"),
    ]
)
"""Places with which a host is changed as its administrator does (CIS Docker Benchmark 1.6, 5.5)."""


def of_bind(source: str, *, read_only: bool = False) -> Iterator[str]:
    """Of a directory of the host in a container."""
    path = posixpath.normpath(f"/{source.lstrip('/')}")  # two slashes at the begin would stay
    if posixpath.basename(path) in _ENGINE_SOCKETS or (path in _OF_THE_HOST and not read_only):
        yield f"isolation: bind of {source} gives control of the host"
    elif path in _OF_THE_HOST:
        yield f"isolation: bind of {source} shows the host's own files"


def of_capabilities(added: Collection[str]) -> Iterator[str]:
    """Of capabilities that a container has over the default set."""
    for capability in sorted(_STRONG_CAPABILITIES.intersection(added)):
        yield f"isolation: capability {capability} reaches beyond the container"
