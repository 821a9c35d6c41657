"""Desired state of a swarm: services, overlay networks, versioned secrets and configs, nodes.

A room of its own, imported where a swarm is spoken of: the models of one host are built by every command.
"""

from bayplan.models.rolling import RollbackPolicy, UpdatePolicy
from bayplan.models.swarm.node import SwarmNode
from bayplan.models.swarm.overlay import OverlayNetwork
from bayplan.models.swarm.rolling import TaskRestart
from bayplan.models.swarm.secrets import Config, Secret
from bayplan.models.swarm.service import (
    LogDriver,
    Placement,
    Service,
    ServiceMount,
    ServiceNetwork,
    ServicePort,
    ServiceVolume,
    TaskLimits,
    TaskReservations,
)
from bayplan.models.swarm.stack import SwarmStack

__all__ = [
    "Config",
    "LogDriver",
    "OverlayNetwork",
    "Placement",
    "RollbackPolicy",
    "Secret",
    "Service",
    "ServiceMount",
    "ServiceNetwork",
    "ServicePort",
    "ServiceVolume",
    "SwarmNode",
    "SwarmStack",
    "TaskLimits",
    "TaskReservations",
    "TaskRestart",
    "UpdatePolicy",
]

RESOURCE_MODELS = (OverlayNetwork, Secret, Config, SwarmNode, Service)
"""Every resource of a swarm."""
