"""Volumes of the native core: directories that outlive containers."""

from bayplan.runtime.native.volumes.volumes import Volumes

__all__ = ["Volumes"]
