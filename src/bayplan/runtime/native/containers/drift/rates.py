"""Rates of block devices, weights and huge pages that a running container's cgroup has by now.

Kernel documentation: admin-guide/cgroup-v1/blkio-controller, cgroup-v2 ("IO Interface Files", "HugeTLB").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bayplan.system import cgroups

_RATES = {
    "throttleReadBpsDevice": ("read_bps", "rbps", "bytes a second"),
    "throttleWriteBpsDevice": ("write_bps", "wbps", "bytes a second"),
    "throttleReadIOPSDevice": ("read_iops", "riops", "reads a second"),
    "throttleWriteIOPSDevice": ("write_iops", "wiops", "writes a second"),
}
"""A rate of the OCI runtime specification to v1's file, v2's key of ``io.max``, and what is counted."""

_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
"""Of the sizes of huge pages in names of files."""


def other_rates(group: str, wanted: Mapping[str, Any]) -> Iterator[str]:
    """Sentences on what ``linux.resources`` asks for and the group has otherwise."""
    for name, devices in wanted.get("blockIO", {}).items():
        if name in _RATES:
            yield from _of_devices(group, name, devices)
    shares = wanted.get("cpu", {}).get("shares")
    # Version 2 has weights instead, which each OCI runtime reckons from shares in its own way.
    found = "" if shares is None or cgroups.is_unified() else cgroups.read(group, "cpu", "", "cpu.shares").strip()
    if found and int(found) != shares:
        yield f"its CPU shares are {found}, not {shares}"
    for pages in wanted.get("hugepageLimits", ()):
        size, page = pages["pageSize"], _UNITS[pages["pageSize"][-2]] * int(pages["pageSize"][:-2])
        limit = pages["limit"] // page * page  # the kernel keeps whole ones (mm/hugetlb_cgroup.c: hugetlb_cgroup_write)
        text = cgroups.read(group, "hugetlb", f"hugetlb.{size}.max", f"hugetlb.{size}.limit_in_bytes").strip()
        if text and text != str(limit):
            yield f"its limit of huge pages of {size} is {text}, not {limit}"


def _of_devices(group: str, name: str, devices: list[dict[str, int]]) -> Iterator[str]:
    file, key, counted = _RATES[name]
    text = cgroups.read(group, "blkio", "io.max", f"blkio.throttle.{file}_device")
    lines = {device: rest for device, _, rest in (line.partition(" ") for line in text.splitlines())}
    for one in devices:
        device = f"{one['major']}:{one['minor']}"
        said = lines.get(device, "")
        if cgroups.is_unified():
            said = dict(pair.partition("=")[::2] for pair in said.split()).get(key, "max")
        if said != str(one["rate"]):
            now = "any number of" if said in ("", "max") else said
            yield f"device {device} may have {now} {counted}, not {one['rate']}"
