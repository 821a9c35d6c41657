"""Networks of the native core: bridges and veth pairs, addresses, and one nftables table of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayplan.runtime.native.networks.kernel import Kernel
    from bayplan.runtime.native.networks.networks import BUILD_PREFIX, Networks
    from bayplan.runtime.native.networks.places import Attachment

__all__ = ["BUILD_PREFIX", "Attachment", "Kernel", "Networks"]


def __getattr__(name: str) -> Any:
    """The names above, loaded when they are asked for: the supervisor uses only small parts of this room."""
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from bayplan.runtime.native.networks import kernel, networks, places

    return next(getattr(room, name) for room in (networks, places, kernel) if hasattr(room, name))
