"""``deploy`` as a swarm reads it: how many tasks, where, with what, and how they change."""

from __future__ import annotations

from typing import Any

from bayplan.load.compose.limits import as_size, parsed
from bayplan.load.compose.nodes import (
    Node,
    as_integer,
    as_list,
    as_map,
    as_number,
    as_text,
    check_keys,
    not_built,
    text_map,
    texts,
    wrong,
)
from bayplan.load.compose.rolling import policy
from bayplan.load.compose.swarm import keys
from bayplan.load.compose.validate import make
from bayplan.models import Duration
from bayplan.models.swarm import Placement, RollbackPolicy, TaskLimits, TaskReservations, TaskRestart, UpdatePolicy

_CONDITIONS = {"no": "none", "always": "any", "unless-stopped": "any", "on-failure": "on-failure"}
"""``restart`` to ``deploy.restart_policy.condition``: a swarm has no stop that a policy could mind."""
_EMPTY: dict[str, Node] = {}


def deploy(service: Node) -> dict[str, Any]:
    """Fields of a service from ``deploy``, and from what stands for parts of it. Raises DeclarationError."""
    given = service.get("deploy") or service.with_value(_EMPTY)
    check_keys(given, built=keys.DEPLOY)
    values = _mode(given, service)
    values["restart"] = _restart(given, service)
    values["limits"], values["reservations"] = _resources(given, service)
    values["labels"] = text_map(given.get("labels"))
    if found := given.get("placement"):
        values["placement"] = _placement(found)
    if found := given.get("update_config"):
        values["update"] = policy(UpdatePolicy, found)
    if found := given.get("rollback_config"):
        values["rollback"] = policy(RollbackPolicy, found)
    if found := given.get("endpoint_mode"):
        values["endpoint_mode"] = as_text(found)
    return values


def _mode(given: Node, service: Node) -> dict[str, Any]:
    mode, count, scale = given.get("mode"), given.get("replicas"), service.get("scale")
    if mode and as_text(mode) in ("replicated-job", "global-job"):
        raise not_built(mode, "jobs are not built yet")
    if count and scale and as_integer(count) != as_integer(scale):
        raise wrong(scale, f"contradicts deploy.replicas, which is {as_text(count)}", hint="remove one of them")
    values: dict[str, Any] = {"mode": as_text(mode)} if mode else {}
    if given_count := count or scale:
        if values.get("mode") == "global":
            raise wrong(given_count, "a global service has a task on each node", hint="remove it")
        values["replicas"] = as_integer(given_count)
    return values


def _restart(given: Node, service: Node) -> TaskRestart:
    if policy := given.get("restart_policy"):
        check_keys(policy, built={"condition", "delay", "max_attempts", "window"})
        values: dict[str, Any] = {}
        if condition := policy.get("condition"):
            values["condition"] = as_text(condition)
        if attempts := policy.get("max_attempts"):
            values["max_attempts"] = as_integer(attempts)
        values |= {key: parsed(found, Duration.parse) for key in ("delay", "window") if (found := policy.get(key))}
        return make(TaskRestart, policy, values)
    restart = service.get("restart")
    if restart is None:
        return TaskRestart()
    name, colon, count = as_text(restart).partition(":")
    if name not in _CONDITIONS or (colon and name != "on-failure"):
        raise wrong(restart, f"unknown policy {as_text(restart)!r}", hint='"no", always or on-failure[:N]')
    attempts_wanted = as_integer(restart.with_value(count)) if colon else 0
    return make(TaskRestart, restart, {"condition": _CONDITIONS[name], "max_attempts": attempts_wanted})


def _resources(given: Node, service: Node) -> tuple[TaskLimits, TaskReservations]:
    """``deploy.resources`` over the older ``cpus``, ``mem_limit`` ... of the service itself."""
    limits: dict[str, Any] = {}
    reserved: dict[str, Any] = {}
    for name, field, target in (
        ("cpus", "cpus", limits),
        ("mem_limit", "memory", limits),
        ("pids_limit", "pids", limits),
        ("mem_reservation", "memory", reserved),
    ):
        if found := service.get(name):
            target[field] = _amount(field, found)
    resources = given.get("resources")
    if resources:
        check_keys(resources, built={"limits", "reservations"})
        if found := resources.get("limits"):
            check_keys(found, built=keys.LIMITS)
            limits |= {name: _amount(name, one) for name in keys.LIMITS if (one := found.get(name))}
        if found := resources.get("reservations"):
            check_keys(found, built=keys.RESERVATIONS, known=keys.RESERVATIONS_REFUSED)
            reserved |= {name: _amount(name, one) for name in ("cpus", "memory") if (one := found.get(name))}
            if generic := found.get("generic_resources"):
                reserved["generic"] = _generic(generic)
    place = resources or service
    return make(TaskLimits, place, _said(limits)), make(TaskReservations, place, _said(reserved))


def _amount(name: str, node: Node) -> Any:
    return {"cpus": as_number, "memory": as_size, "pids": as_integer}[name](node)


def _said(values: dict[str, Any]) -> dict[str, Any]:
    """Without zeros and -1, Docker's words for no limit."""
    return {name: value for name, value in values.items() if value not in (0, -1)}


def _generic(node: Node) -> dict[str, int]:
    found = {}
    for item in as_list(node):
        check_keys(item, built={"discrete_resource_spec"})
        spec = item.get("discrete_resource_spec")
        kind, value = (spec.get("kind"), spec.get("value")) if spec else (None, None)
        if kind is None or value is None:
            raise wrong(item, "needs discrete_resource_spec with kind and value")
        found[as_text(kind)] = as_integer(value)
    return found


def _placement(node: Node) -> Placement:
    check_keys(node, built={"constraints", "preferences", "max_replicas_per_node"})
    values: dict[str, Any] = {}
    if found := node.get("constraints"):
        values["constraints"] = texts(found)
    if found := node.get("max_replicas_per_node"):
        values["max_replicas_per_node"] = as_integer(found)
    if found := node.get("preferences"):
        spread = []
        for item in as_list(found):
            check_keys(item, built={"spread"})
            spread += [as_text(one) for one in as_map(item).values()]
        values["spread"] = tuple(spread)
    return make(Placement, node, values)
