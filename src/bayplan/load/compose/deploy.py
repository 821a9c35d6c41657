"""``deploy`` and what stands for parts of it: replicas, the restart policy, reservations."""

from __future__ import annotations

from bayplan.load.compose import keys
from bayplan.load.compose.nodes import Node, as_integer, as_text, check_keys, ignored, pairs, wrong
from bayplan.load.compose.validate import make
from bayplan.models import RestartPolicy

_MAX_REPLICAS = 1000  # each is built in memory and takes an address of its network: more is a slip of the pen
_SWARM = "it is for a scheduler of many hosts (Swarm)"


def replicas(service: Node) -> int:
    """How many containers the service has. Raises DeclarationError."""
    deploy, scale = service.get("deploy"), service.get("scale")
    wanted = _count(scale) if scale else None
    if deploy is None:
        return 1 if wanted is None else wanted
    check_keys(deploy, built=keys.DEPLOY_BUILT | keys.DEPLOY_OF_SWARM)
    mode = deploy.get("mode")
    usual = {"mode"} if mode and as_text(mode) == "replicated" else set()
    ignored(deploy, keys.DEPLOY_OF_SWARM - usual, _SWARM)
    given = deploy.get("replicas")
    count = _count(given) if given else wanted
    if scale and wanted != count:
        raise wrong(scale, f"contradicts deploy.replicas, which is {count}", hint="remove one of them")
    if labels := deploy.get("labels"):
        for _ in pairs(labels):  # read for their form: on one host they label nothing (specification, "deploy")
            pass
    return 1 if count is None else count


def restart(service: Node) -> RestartPolicy:
    """``restart``, or ``deploy.restart_policy`` which goes before it. Raises DeclarationError."""
    deploy = service.get("deploy")
    policy = deploy.get("restart_policy") if deploy else None
    if policy:
        check_keys(policy, built={"condition", "delay", "max_attempts", "window"})
        ignored(policy, {"delay", "window"}, "the pause between starts doubles from 0.1 s to a minute")
        condition, attempts = policy.get("condition"), policy.get("max_attempts")
        name = as_text(condition) if condition else "any"
        known = {"none": "no", "on-failure": "on-failure", "any": "always"}
        if condition and name not in known:
            raise wrong(condition, f"unknown condition {name!r}", hint="none, on-failure or any")
        values = {"condition": known[name], "max_retries": (attempts and as_integer(attempts)) or None}
        return make(RestartPolicy, policy, values)
    node = service.get("restart")
    if node is None:
        return RestartPolicy()
    if not isinstance(node.value, str):
        raise wrong(node, "must be a string", hint='"no", always, on-failure[:N] or unless-stopped')
    name, colon, count = node.value.partition(":")
    if name not in ("no", "always", "on-failure", "unless-stopped") or (colon and name != "on-failure"):
        raise wrong(node, f"unknown policy {node.value!r}", hint='"no", always, on-failure[:N] or unless-stopped')
    # No times is without end, as with Docker.
    retries = as_integer(node.with_value(count)) if colon else None
    return make(RestartPolicy, node, {"condition": name, "max_retries": retries or None})


def _count(node: Node) -> int:
    count = as_integer(node)
    if count < 0:
        raise wrong(node, "cannot be negative")
    if count > _MAX_REPLICAS:
        raise wrong(node, f"{count} is more than the {_MAX_REPLICAS} replicas a service may have")
    return count
