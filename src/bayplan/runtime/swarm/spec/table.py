"""The table itself: every field of a service that its specification holds, once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from bayplan.models.swarm import Service
from bayplan.runtime.swarm.spec import joint, values
from bayplan.runtime.swarm.spec.option import Names, Option, Spec, one

_TASK = "TaskTemplate"
_IN = (_TASK, "ContainerSpec")
_RESOURCES = (_TASK, "Resources")
_DNS = (*_IN, "DNSConfig")

OPTIONS: tuple[Option, ...] = (
    Option(("image", "digest"), (*_IN, "Image"), joint.image_out, joint.image_back),
    Option(("mode", "replicas"), ("Mode",), joint.mode_out, joint.mode_back),
    one("entrypoint", *_IN, "Command", out=list, back=tuple),
    one("command", *_IN, "Args", out=list, back=tuple),
    one("environment", *_IN, "Env", out=values.environment_out, back=values.environment_back),
    one("working_dir", *_IN, "Dir"),
    one("user", *_IN, "User"),
    one("group_add", *_IN, "Groups", out=list, back=tuple),
    one("hostname", *_IN, "Hostname"),
    one("container_labels", *_IN, "Labels", out=dict),
    one("healthcheck", *_IN, "Healthcheck", out=values.health_out, back=values.health_back),
    one("extra_hosts", *_IN, "Hosts", out=values.hosts_out, back=values.hosts_back),
    one("dns", *_DNS, "Nameservers", out=list, back=tuple),
    one("dns_search", *_DNS, "Search", out=list, back=tuple),
    one("dns_opt", *_DNS, "Options", out=list, back=tuple),
    one("cap_add", *_IN, "CapabilityAdd", out=values.capabilities_out, back=tuple),
    one("cap_drop", *_IN, "CapabilityDrop", out=values.capabilities_out, back=tuple),
    one("sysctls", *_IN, "Sysctls", out=dict),
    one("ulimits", *_IN, "Ulimits", out=values.ulimits_out, back=values.ulimits_back),
    one("read_only", *_IN, "ReadOnly", out=lambda value: value or None),
    one("init", *_IN, "Init"),
    one("tty", *_IN, "TTY", out=lambda value: value or None),
    one("stdin_open", *_IN, "OpenStdin", out=lambda value: value or None),
    one("stop_signal", *_IN, "StopSignal"),
    one("stop_grace_period", *_IN, "StopGracePeriod", out=values.nanoseconds, back=values.duration),
    one(
        "mounts",
        *(*_IN, "Mounts"),
        out=lambda found: [values.mount_out(item) for item in found],
        back=lambda found: tuple(values.mount_back(item) for item in found),
    ),
    Option(("secrets",), (*_IN, "Secrets"), joint.secrets_out, joint.secrets_back),
    Option(("configs",), (*_IN, "Configs"), joint.configs_out, joint.configs_back),
    Option(("networks",), (_TASK, "Networks"), joint.networks_out, joint.networks_back),
    Option(("limits",), (*_RESOURCES, "Limits"), joint.limits_out, joint.limits_back),
    Option(("reservations",), (*_RESOURCES, "Reservations"), joint.reservations_out, joint.reservations_back),
    Option(("placement",), (_TASK, "Placement"), joint.placement_out, joint.placement_back),
    one("restart", _TASK, "RestartPolicy", out=values.restart_out, back=values.restart_back),
    one("logging", _TASK, "LogDriver", out=values.log_out, back=values.log_back),
    one("update", "UpdateConfig", out=values.policy_out, back=values.update_back),
    one("rollback", "RollbackConfig", out=values.policy_out, back=values.rollback_back),
    one("endpoint_mode", "EndpointSpec", "Mode"),
    one(
        "ports",
        *("EndpointSpec", "Ports"),
        out=lambda found: [values.port_out(item) for item in found],
        back=lambda found: tuple(values.port_back(item) for item in found),
    ),
)
NOT_IN_SPEC = frozenset({"name", "service", "labels", "depends_on"})
"""Fields that stand elsewhere: the name and labels beside it, the rest only in what was declared."""


def write(service: Service, names: Names, spec: Spec, fields: Collection[str] | None = None) -> Spec:
    """Write fields (None: all) into a specification, which is changed; what is not ours to say stays."""
    for option in OPTIONS:
        if fields is None or set(option.fields) & set(fields):
            option.put(spec, service, names)
    return spec


def read(spec: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """The fields that a specification holds."""
    found: dict[str, Any] = {}
    for option in OPTIONS:
        found |= option.get(spec, names)
    return found
