"""Networks of the native core: bridges and veth pairs, addresses, and one nftables table of our own."""

from bayplan.runtime.native.networks.endpoints import Attachment
from bayplan.runtime.native.networks.kernel import Kernel
from bayplan.runtime.native.networks.networks import BUILD_PREFIX, Networks

__all__ = ["BUILD_PREFIX", "Attachment", "Kernel", "Networks"]
