"""What an engine says of itself (``GET /info``): versions, defaults, and what its host lacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bayplan.system import cgroups

if TYPE_CHECKING:
    from bayplan.runtime.engine_api.client import EngineClient

_RELEASES = {
    (1, 42): "23.0",
    (1, 43): "24.0",
    (1, 44): "25.0",
    (1, 45): "26.0",
    (1, 46): "27.0",
    (1, 47): "27.2",
    (1, 48): "28.0",
    (1, 49): "28.1",
}
"""API versions to the first Docker that speaks them (docs.docker.com, "API version matrix")."""
_FLAGS = {
    "memory": "MemoryLimit",
    "memory_reservation": "MemoryLimit",
    "memory_swap": "SwapLimit",
    "cpus": "CpuCfsQuota",
    "cpu_quota": "CpuCfsQuota",
    "cpu_period": "CpuCfsPeriod",
    "cpu_shares": "CPUShares",
    "cpuset": "CPUSet",
    "cpuset_mems": "CPUSet",
    "pids": "PidsLimit",
    "oom_kill_disable": "OomKillDisable",
}
"""Limits to the flag of ``/info`` that says whether the host has them; others it drops with a warning."""


@dataclass(frozen=True)
class Engine:
    """One engine: who it is, and what it does where a declaration leaves a field unset."""

    kind: str
    version: str
    api: tuple[int, ...]
    host: str = ""
    id: str = ""
    local: bool = True
    """Whether paths mean the same there and here."""
    rootless: bool = False
    unified: bool = False
    """Whether its host has cgroup v2."""
    private_cgroups: bool = False
    """Whether a container has a cgroup namespace of its own by default."""
    runtime: str = "runc"
    runtimes: frozenset[str] = frozenset()
    log_driver: str = "json-file"
    kernel: Mapping[str, str] = field(default_factory=dict)
    """What of its host programs can notice (``Facts.kernel``)."""
    storage: str = ""
    """File system below its images, such as ``extfs``."""
    lacking: frozenset[str] = field(default_factory=frozenset)
    """Limits that its host cannot keep."""

    @property
    def name(self) -> str:
        """Kind and version, as errors name it."""
        return f"{self.kind} {self.version}"

    def speaks(self, api: tuple[int, ...]) -> bool:
        """Whether it knows what came with that version of the API."""
        return self.api >= api

    def release(self, api: tuple[int, int]) -> str:
        """The API version in words that a user can act by."""
        release = _RELEASES.get(api)
        return f"API {api[0]}.{api[1]}" + (f" (Docker {release})" if release else "")


def ask(client: EngineClient) -> Engine:
    """One call. Raises AnswerError."""
    info: Mapping[str, Any] = client.call("GET", "/info")
    security = {part.partition("=")[2].partition(",")[0] for part in info.get("SecurityOptions") or ()}
    lacking = {name for name, flag in _FLAGS.items() if info.get(flag) is False}
    unified = str(info.get("CgroupVersion", "1")) == "2"
    if client.is_local and not _weighs_devices(unified=unified):
        lacking.add("blkio.weight")
    kernel = {
        "release": str(info.get("KernelVersion", "")),
        "architecture": str(info.get("Architecture", "")),
        "cgroup": "2" if unified else "1",
        "lsm": ",".join(sorted(security & {"apparmor", "selinux"})),
    }
    storage = {pair[0]: pair[1] for pair in info.get("DriverStatus") or ()}
    return Engine(
        kind=client.kind,
        version=client.engine_version,
        api=tuple(int(part) for part in client.api_version.split(".")),
        host=str(info.get("Name", "")),
        id=str(info.get("ID", "")),
        local=client.is_local,
        rootless="rootless" in security,
        kernel={name: value for name, value in kernel.items() if value},
        unified=unified,
        private_cgroups="cgroupns" in security,
        runtime=str(info.get("DefaultRuntime") or "runc"),
        runtimes=frozenset(info.get("Runtimes") or ()),
        log_driver=str(info.get("LoggingDriver") or "json-file"),
        storage=str(storage.get("Backing Filesystem", "")),
        lacking=frozenset(lacking),
    )


def _weighs_devices(*, unified: bool) -> bool:
    """Whether block devices of this host have weights, of which ``/info`` says nothing."""
    names = ("io.weight", "io.bfq.weight") if unified else ("blkio.weight",)
    return any(cgroups.has_file("blkio", name) for name in names)
