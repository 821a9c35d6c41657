"""``update_config`` and ``rollback_config``: how a change of a service reaches its containers or tasks."""

from __future__ import annotations

from typing import Any, TypeVar

from bayplan.load.compose import keys
from bayplan.load.compose.limits import parsed
from bayplan.load.compose.nodes import Node, as_integer, as_number, as_text, check_keys
from bayplan.load.compose.validate import make
from bayplan.models import Duration, RollbackPolicy, UpdateConfig

_P = TypeVar("_P", bound=RollbackPolicy)


def policy(model: type[_P], node: Node, **more: Any) -> _P:
    """One of the two; ``more`` are fields that it does not say itself. Raises DeclarationError."""
    check_keys(node, built=keys.POLICY_BUILT)
    values: dict[str, Any] = {key: as_text(one) for key in ("failure_action", "order") if (one := node.get(key))}
    values |= {key: parsed(one, Duration.parse) for key in ("delay", "monitor") if (one := node.get(key))}
    if found := node.get("parallelism"):
        values["parallelism"] = as_integer(found)
    if found := node.get("max_failure_ratio"):
        values["max_failure_ratio"] = as_number(found)
    return make(model, node, {**values, **more})


def update_config(service: Node) -> UpdateConfig | None:
    """Both of them, as the containers of one host have it; None when neither is said. Raises DeclarationError."""
    deploy = service.get("deploy")
    forth, back = (deploy.get(f"{name}_config") if deploy else None for name in ("update", "rollback"))
    rollback = policy(RollbackPolicy, back) if back else None
    if forth is None:
        return UpdateConfig(rollback=rollback) if rollback else None
    return policy(UpdateConfig, forth, rollback=rollback)
