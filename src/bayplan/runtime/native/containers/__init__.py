"""Containers of the native core: specification, life, commands, logs and records."""

from bayplan.runtime.native.containers.containers import Containers

__all__ = ["Containers"]
