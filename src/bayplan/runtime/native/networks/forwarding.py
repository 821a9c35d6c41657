"""Whether the host forwards packets, which every network with a way out needs (kernel: ip-sysctl)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bayplan.errors import UnsupportedError
from bayplan.models import Network

_V4 = Path("/proc/sys/net/ipv4/ip_forward")
_V6 = Path("/proc/sys/net/ipv6/conf")


def check(network: Network) -> None:
    """Raise UnsupportedError for IPv6 on a kernel that has none."""
    if network.enable_ipv6 and not _V6.exists():
        raise UnsupportedError(
            "the kernel has no IPv6 (ipv6.disable=1?)",
            where=str(network.id),
            hint="remove enable_ipv6",
        )


def switch_on(*, ipv4: bool = True, ipv6: bool) -> None:
    """Let the host forward; each family only where it is asked for.

    A kernel that forwards ignores router advertisements, from which many hosts have their own way out. Links that
    listen to them now go on doing so (accept_ra=2).
    """
    if ipv4 and _V4.read_text().strip() != "1":
        _V4.write_text("1")
    if ipv6 and not _forwards_v6():
        for path in _V6.glob("*/accept_ra"):
            if path.parent.name not in ("all", "default", "lo") and path.read_text().strip() == "1":
                path.write_text("2")
        (_V6 / "all/forwarding").write_text("1")


def defects(*, ipv4: bool = True, ipv6: bool) -> Iterator[str]:
    """What is switched off, as sentences."""
    if ipv4 and _V4.read_text().strip() != "1":
        yield "the host does not forward (ip_forward)"
    if ipv6 and not _forwards_v6():
        yield "the host does not forward IPv6 (conf/all/forwarding)"


def _forwards_v6() -> bool:
    return (_V6 / "all/forwarding").read_text().strip() == "1"
