"""How a container is to be, beside its own options: its state, what is forced on it, what may differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayplan.bridge.as_it_is import AS_IT_IS
from bayplan.bridge.foreign import LIMITS, RATES
from bayplan.bridge.spellings import ALIASES
from bayplan.errors import DeclarationError
from bayplan.models import Duration
from bayplan.reconcile.comparisons import Rule
from bayplan.values import frozen

STATES = ("present", "started", "healthy", "stopped", "paused", "absent")
CONTROLS = (
    "state",
    "restart",
    "recreate",
    "paused",
    "comparisons",
    "healthy_wait_timeout",
    "detach",
    "cleanup",
)
_POLICIES = ("always", "on-failure", "unless-stopped")
_HEALTHY_WAIT_S = 300


@frozen
class Wanted:
    """One container: ``resource`` is its own options, the rest says what is done with it."""

    name: str
    resource: Mapping[str, Any]
    state: str
    restart: bool
    recreate: bool
    detach: bool
    cleanup: bool
    healthy_wait_timeout: Duration
    rules: Mapping[str, Rule]

    @staticmethod
    def read(given: Mapping[str, Any]) -> Wanted:
        """Of the options of one task or one item. Raises DeclarationError."""
        name = str(given.get("name") or "")
        where = f"container {name}"
        if not name:
            raise DeclarationError("a container has no name", where="containers", hint="give each a name")
        own = {key: value for key, value in given.items() if key not in CONTROLS and value is not None}
        named = {} if own.get("image") else {"image": Rule.IGNORE}
        return Wanted(
            name=name,
            resource={"image": AS_IT_IS, **own, "kind": "container"},
            state=_state(given, where),
            restart=_restart(given.get("restart"), where),
            recreate=bool(given.get("recreate")),
            detach=given.get("detach") is not False,
            cleanup=bool(given.get("cleanup")),
            healthy_wait_timeout=_seconds(given.get("healthy_wait_timeout"), where),
            rules={**named, **_rules(given.get("comparisons") or {}, where)},
        )


def _state(given: Mapping[str, Any], where: str) -> str:
    state = str(given.get("state") or "started")
    if state not in STATES:
        raise DeclarationError(f"state {state!r} is none", where=where, hint=f"one of {', '.join(STATES)}")
    if given.get("paused") is True and state in ("started", "present", "healthy"):
        return "paused"
    return state


def _restart(given: object, where: str) -> bool:
    """Whether it is restarted now. Compose's word for the policy is another option here, as in community.docker."""
    if isinstance(given, Mapping) or str(given) in _POLICIES or str(given).startswith("on-failure"):
        raise DeclarationError(
            f"restart: {given} is the policy, and restart restarts it now", where=where, hint="use restart_policy"
        )
    if given is None or isinstance(given, bool):
        return bool(given)
    if str(given).lower() not in ("true", "yes", "false", "no"):
        raise DeclarationError(f"restart: {given!r} is neither true nor false", where=where)
    return str(given).lower() in ("true", "yes")


def _seconds(given: object, where: str) -> Duration:
    try:
        return Duration(seconds=float(str(_HEALTHY_WAIT_S if given is None else given)))
    except (ValueError, OverflowError):
        pass
    try:
        return Duration.parse(given)
    except ValueError as error:
        raise DeclarationError(f"healthy_wait_timeout: {error}", where=where) from error


def _rules(given: Mapping[str, Any], where: str) -> dict[str, Rule]:
    if not isinstance(given, Mapping):
        raise DeclarationError("comparisons: must be a map of options", where=where)
    fields = {other: name for name, others in ALIASES.items() for other in others}
    fields |= {option: f"resources.{field}" for option, field in LIMITS.items()}
    fields |= dict.fromkeys((*RATES, "blkio_weight"), "resources.blkio")
    fields |= {"volumes": "mounts", "tmpfs": "mounts", "stop_timeout": "stop_grace_period", "restart_policy": "restart"}
    fields |= {"log_driver": "logging", "log_options": "logging", "publish_all_ports": "ports"}
    try:
        return {fields.get(option, option): Rule(str(rule)) for option, rule in given.items()}
    except ValueError as error:
        rules = ", ".join(rule.value for rule in Rule)
        raise DeclarationError(f"comparisons: {error}", where=where, hint=f"one of {rules}") from error
