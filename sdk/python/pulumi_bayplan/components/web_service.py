"""A service of alike containers behind one published port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from pulumi_bayplan import outputs
from pulumi_bayplan.components import compose
from pulumi_bayplan.stack import Stack

_HEALTH = ("test", "interval", "timeout", "retries", "start_period", "start_interval")
_ANY = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


@dataclass(frozen=True)
class Rollout:
    """How a change reaches the containers: as many at a time, each proved before the next ones are begun."""

    parallelism: int = 1
    """Containers replaced at a time."""
    order: str = "start-first"
    """``start-first``: a successor takes over when it has proved itself; ``stop-first``: never one too many."""
    delay: str = "0s"
    """Pause between one lot and the next."""
    monitor: str = "5s"
    """Time after a start in which an end, or turning unhealthy, is a failure."""
    failure_action: str = "rollback"
    """What happens then: ``rollback``, ``pause`` or ``continue``."""


class WebService(pulumi.ComponentResource):
    """Replicas of one image behind one port of the host, to which the kernel leads new connections in turn.

    A change replaces them one after the other; with a health check, and the usual ``Rollout``, no request is lost.
    It is a project of its own on the host, made by one ``Stack``.
    """

    stack: Stack
    """What it is made of."""
    url: pulumi.Output[str]
    """Where it answers, as seen on the host; empty when no port is published."""
    containers: pulumi.Output[Sequence[outputs.StackContainer]]
    """Its replicas."""

    def __init__(
        self,
        name: str,
        *,
        image: pulumi.Input[str],
        port: pulumi.Input[int],
        published: pulumi.Input[int] | None = None,
        host_ip: pulumi.Input[str] | None = None,
        replicas: pulumi.Input[int] = 2,
        health: Mapping[str, Any] | None = None,
        command: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None,
        environment: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None,
        networks: Sequence[pulumi.Input[str]] = (),
        memory: pulumi.Input[str] | None = None,
        cpus: pulumi.Input[float] | None = None,
        labels: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None,
        stop_grace_period: pulumi.Input[str] | None = None,
        rollout: Rollout | None = None,
        project: pulumi.Input[str] | None = None,
        wait_timeout: pulumi.Input[str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Make it.

        :param image: What runs; the ``reference`` of an Image makes each change of it a rolling update.
        :param port: Port in the containers.
        :param published: Port of the host; none when unset.
        :param host_ip: Address of the host; every one when unset.
        :param replicas: How many containers.
        :param health: Health check: ``test`` (``["CMD", ...]``), ``interval``, ``retries`` and what else a
            HealthCheckArgs has. A replica takes part when it is healthy.
        :param networks: Networks that are there already, by name, such as ``Network.name``.
        :param rollout: How a change is carried out.
        :param project: Name of the project on the host; one is made of the name when unset.
        """
        super().__init__("bayplan:components:WebService", name, None, opts)
        if health is not None and (unknown := sorted(health.keys() - set(_HEALTH))):
            raise TypeError(f"{name}: health has no {unknown[0]}; there are {', '.join(_HEALTH)}")
        ways = [{"target": port, "published": published, "host_ip": host_ip}] if published is not None else None
        service = {
            "image": image,
            "command": command,
            "environment": environment,
            "labels": labels,
            "ports": None if ways is None else pulumi.Output.from_input(ways).apply(_ports),
            "healthcheck": health,
            "stop_grace_period": stop_grace_period,
            "networks": [f"n{number}" for number, _ in enumerate(networks)] or None,
            "deploy": {
                "replicas": replicas,
                "update_config": vars(rollout or Rollout()),
                "resources": {"limits": {"memory": memory, "cpus": cpus}},
            },
        }
        known = {f"n{number}": {"external": True, "name": one} for number, one in enumerate(networks)}
        self.stack = Stack(
            name,
            pulumi.ResourceOptions(parent=self),
            definition=compose.resolved(compose.given({"services": {name: service}, "networks": known})),
            project=project,
            wait_timeout=wait_timeout,
        )
        self.containers = self.stack.services.apply(lambda found: found[name].containers)
        self.url = pulumi.Output.all(published, host_ip).apply(lambda place: _url(*place))
        self.register_outputs({"url": self.url, "containers": self.containers})


def _ports(ways: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Compose's long form: the port of the host is a text there."""
    return [compose.given({**way, "published": str(int(way["published"]))}) for way in ways]


def _url(published: float | None, host_ip: str | None) -> str:
    if published is None:
        return ""
    host = "127.0.0.1" if host_ip in (None, *_ANY) else f"[{host_ip}]" if ":" in str(host_ip) else host_ip
    return f"http://{host}:{int(published)}"
