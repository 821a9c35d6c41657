"""Networks of the native core: bridges and veth pairs, addresses, and one nftables table of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayplan.runtime.native.networks.endpoints import Attachment
    from bayplan.runtime.native.networks.kernel import Kernel
    from bayplan.runtime.native.networks.networks import BUILD_PREFIX, Networks

__all__ = ["BUILD_PREFIX", "Attachment", "Kernel", "Networks"]


def __getattr__(name: str) -> Any:
    """The names above, loaded when they are asked for: the supervisor uses only small parts of this room."""
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from bayplan.runtime.native.networks import endpoints, kernel, networks

    return next(getattr(room, name) for room in (networks, endpoints, kernel) if hasattr(room, name))
