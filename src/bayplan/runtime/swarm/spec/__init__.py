"""A service's specification (Docker Engine API, "ServiceSpec") from our model, and back: one table for both ways."""

from bayplan.runtime.swarm.spec.table import OPTIONS, read, write

__all__ = ["OPTIONS", "read", "write"]
