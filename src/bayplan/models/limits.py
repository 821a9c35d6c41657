"""Limits of a container's cgroup and of its processes."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from bayplan.models.base import Model
from bayplan.models.types import AbsolutePath, ByteSize


class Ulimit(Model):
    """A resource limit of the container's processes (getrlimit(2)); -1 is unlimited."""

    soft: int = Field(ge=-1, description="Soft limit.")
    hard: int = Field(ge=-1, description="Hard limit.")


def _swap(value: object) -> object:
    """-1 is no limit; anything else is a size."""
    return ByteSize(-1) if value in (-1, "-1") else value


class DeviceRate(Model):
    """How much may be read from or written to a block device in a second."""

    path: AbsolutePath = Field(description="The device on the host, such as /dev/sda.")
    rate: ByteSize = Field(description="Bytes or operations a second.")


class DeviceWeight(Model):
    """The share of a block device's time among containers."""

    path: AbsolutePath = Field(description="The device on the host, such as /dev/sda.")
    weight: int = Field(ge=10, le=1000, description="Relative weight among containers.")


class BlockIo(Model):
    """Limits of block devices; unset is unlimited."""

    weight: int | None = Field(None, ge=10, le=1000, description="Relative weight among containers (500 is usual).")
    weight_device: tuple[DeviceWeight, ...] = Field((), description="Relative weight for single devices.")
    read_bps: tuple[DeviceRate, ...] = Field((), description="Most bytes read a second, for each device.")
    write_bps: tuple[DeviceRate, ...] = Field((), description="Most bytes written a second, for each device.")
    read_iops: tuple[DeviceRate, ...] = Field((), description="Most reads a second, for each device.")
    write_iops: tuple[DeviceRate, ...] = Field((), description="Most writes a second, for each device.")


class Resources(Model):
    """Limits of the container's cgroup; unset is unlimited."""

    memory: ByteSize | None = Field(None, description="Most memory, bytes; memory plus swap is held to the same.")
    memory_swap: Annotated[ByteSize | None, BeforeValidator(_swap)] = Field(
        None, description="Most memory plus swap, bytes, not less than memory; -1 is unlimited swap."
    )
    memory_swappiness: int | None = Field(
        None, ge=0, le=100, description="How readily the kernel swaps its memory out; cgroup v1 only."
    )
    memory_reservation: ByteSize | None = Field(None, description="Memory kept under pressure, bytes.")
    oom_kill_disable: bool = Field(False, description="Out of memory it waits instead of being killed; cgroup v1 only.")
    cpus: float | None = Field(None, gt=0, description="Most CPU time, in processors.")
    cpu_period: int | None = Field(None, ge=1000, le=1000000, description="Length of a CPU period, microseconds.")
    cpu_quota: int | None = Field(None, ge=1000, description="CPU time in each period, microseconds.")
    cpu_shares: int | None = Field(None, ge=2, le=262144, description="Relative CPU weight (1024 is usual).")
    cpu_rt_period: int | None = Field(None, ge=1, description="Length of a real-time period, microseconds; v1 only.")
    cpu_rt_runtime: int | None = Field(None, ge=1, description="Real-time CPU time in it, microseconds; v1 only.")
    cpuset: str | None = Field(None, pattern=r"^\d+(-\d+)?(,\d+(-\d+)?)*$", description="Processors, such as 0-1,3.")
    cpuset_mems: str | None = Field(None, pattern=r"^\d+(-\d+)?(,\d+(-\d+)?)*$", description="Memory nodes, such as 0.")
    pids: int | None = Field(None, ge=-1, description="Most processes and threads; 2048 when unset, no limit when -1.")
    hugetlb: dict[Annotated[str, StringConstraints(pattern=r"^[1-9]\d*[KMG]B$")], ByteSize] = Field(
        default_factory=dict, description="Most memory in huge pages of each size, such as C(2MB), bytes."
    )
    blkio: BlockIo | None = Field(None, description="Limits of block devices.")

    @model_validator(mode="after")
    def _fits_together(self) -> Resources:
        if self.cpus is not None and (self.cpu_quota is not None or self.cpu_period is not None):
            raise ValueError("cpus and cpu_quota or cpu_period exclude each other")
        if self.memory_swap is not None and self.memory_swap != -1:
            if self.memory is None:
                raise ValueError("memory_swap needs memory")
            if self.memory_swap < self.memory:
                raise ValueError("memory_swap is memory plus swap: it cannot be less than memory")
        if self.memory is not None and self.memory_reservation is not None and self.memory_reservation > self.memory:
            raise ValueError("memory_reservation is more than memory")
        return self
