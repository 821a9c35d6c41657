"""Desired state as frozen pydantic models; no I/O.

A field carries its type, its documentation, its default and how a change of it is applied (``Change``).
"""

from bayplan.models.anonymous import anonymous_name, volumes_of_image, with_image_volumes
from bayplan.models.base import (
    Change,
    Kind,
    Model,
    Resource,
    ResourceId,
    change_of,
    comparable_fields,
    is_sensitive,
)
from bayplan.models.container import (
    Condition,
    Container,
    Dependency,
    HealthCheck,
    Logging,
    Port,
    RestartCondition,
    RestartPolicy,
)
from bayplan.models.exposed import with_exposed_ports
from bayplan.models.hooks import Hook
from bayplan.models.image import Build, BuildSecret, Entitlement, Image, Pin, PullPolicy
from bayplan.models.isolation import Device
from bayplan.models.limits import BlockIo, DeviceRate, DeviceWeight, Resources, Ulimit
from bayplan.models.mounts import BindMount, ImageMount, Mount, TmpfsMount, VolumeMount
from bayplan.models.network import Endpoint, Network
from bayplan.models.reference import ImageReference
from bayplan.models.rolling import RollbackPolicy, UpdateConfig
from bayplan.models.secret import FileGrant
from bayplan.models.settings import Settings
from bayplan.models.stack import RESOURCE_MODELS, Allowance, Holder, Stack
from bayplan.models.types import ByteSize, Capability, Digest, Duration
from bayplan.models.volume import Volume

__all__ = [
    "RESOURCE_MODELS",
    "Allowance",
    "BindMount",
    "BlockIo",
    "Build",
    "BuildSecret",
    "ByteSize",
    "Capability",
    "Change",
    "Condition",
    "Container",
    "Dependency",
    "Device",
    "DeviceRate",
    "DeviceWeight",
    "Digest",
    "Duration",
    "Endpoint",
    "Entitlement",
    "FileGrant",
    "HealthCheck",
    "Holder",
    "Hook",
    "Image",
    "ImageMount",
    "ImageReference",
    "Kind",
    "Logging",
    "Model",
    "Mount",
    "Network",
    "Pin",
    "Port",
    "PullPolicy",
    "Resource",
    "ResourceId",
    "Resources",
    "RestartCondition",
    "RestartPolicy",
    "RollbackPolicy",
    "Settings",
    "Stack",
    "TmpfsMount",
    "Ulimit",
    "UpdateConfig",
    "Volume",
    "VolumeMount",
    "anonymous_name",
    "change_of",
    "comparable_fields",
    "is_sensitive",
    "volumes_of_image",
    "with_exposed_ports",
    "with_image_volumes",
]
