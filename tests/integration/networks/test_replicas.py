"""One published port over the replicas of a service: on the real core, with real answers."""

import os
import socket
import threading

import pytest

from bayplan.models import Duration, Kind
from bayplan.runtime.protocol import Scope
from bayplan.system import nftables
from integration.networks.test_networks import free_port
from integration.supervisor.conftest import core

__all__ = ["core"]
pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
SERVICE = """\
command: [sh, -c, 'echo up > /ok; exec nc -ll -p 7000 -e cat /etc/hostname']
deploy: {{replicas: {replicas}}}
ports: ["127.0.0.1:{port}:7000"]
{more}
"""
CHECKED = "healthcheck: {test: [CMD, cat, /ok], interval: 100ms, retries: 1, timeout: 5s}"


def service(port, replicas=3, more=""):
    return SERVICE.format(port=port, replicas=replicas, more=more)


def ask(port):
    """Who answered; empty when nobody did."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
        return peer.recv(100).decode().strip()


def answering(port, times=12):
    found = set()
    for _ in range(times):
        try:
            found.add(ask(port))
        except OSError:
            found.add("")
    return found


def replicas(core):
    found = core.runtime.observe(Scope(project="bps")).of(Kind.CONTAINER)
    return {item.id.name: item for item in found}


def host_names(core):
    return {item.handle[:12] for item in replicas(core).values()}


class Load:
    """Asks all the time; counts answers and what went unanswered."""

    def __init__(self, port):
        self.port, self.ended, self.answers, self.lost = port, threading.Event(), 0, []
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        while not self.ended.is_set():
            try:
                answer = ask(self.port)
            except OSError as error:
                self.lost.append(str(error))
            else:
                self.answers += bool(answer)
                self.lost += [] if answer else ["no answer"]

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def test_each_replica_answers_and_none_is_lost_while_one_stops_in_order(core):
    port = free_port()
    core.apply(service(port))
    core.until(lambda: answering(port) == host_names(core))
    assert core.plan(service(port)).steps == ()
    stopped = replicas(core)["bps-app-2"].handle[:12]
    with Load(port) as load:
        core.until(lambda: load.answers > 5)
        with core.runtime.lock("test"):
            core.runtime.stop("bps-app-2", Duration(seconds=0))
        seen = load.answers
        core.until(lambda: load.answers > seen + 20)
    assert load.lost == []
    assert answering(port) == host_names(core) - {stopped}
    with core.runtime.lock("test"):
        core.runtime.start("bps-app-2")
    core.until(lambda: answering(port) == host_names(core))


def test_one_that_ends_or_turns_unhealthy_leaves_by_the_supervisor_and_joins_again(core):
    port = free_port()
    core.apply(service(port, more=f"restart: always\n{CHECKED}"))
    core.until(lambda: answering(port) == host_names(core))
    sick = replicas(core)["bps-app-1"].handle[:12]
    core.runtime.exec("bps-app-1", ["/bin/busybox", "rm", "/ok"])
    core.until(lambda: answering(port) == host_names(core) - {sick})
    core.runtime.exec("bps-app-1", ["/bin/busybox", "touch", "/ok"])
    core.until(lambda: answering(port) == host_names(core))
    dead = replicas(core)["bps-app-3"]
    os.kill(dead.status.pid, 9)
    core.until(lambda: core.runtime.containers.status(dead.handle).restarts == 1)
    core.until(lambda: answering(port) == host_names(core))


def test_drift_of_the_balance_is_seen_and_healed_and_replicas_come_and_go(core):
    port = free_port()
    core.apply(service(port))
    core.until(lambda: answering(port) == host_names(core))
    table = f"inet {core.settings.nft_table}"
    held = core.runtime.networks.firewall.holds()
    (chain,) = held.members
    nftables.run(f"flush chain {table} {chain}")
    defects = replicas(core)["bps-app-1"].defects
    assert defects == {f"port {port}/tcp is not balanced over its replicas": "in-place"}
    core.apply(service(port))
    assert answering(port) == host_names(core)
    core.apply(service(port, replicas=1))
    core.until(lambda: answering(port) == host_names(core))
    assert len(host_names(core)) == 1
    assert core.runtime.networks.firewall.holds().members == {}
    core.apply(service(port, replicas=2))
    core.until(lambda: answering(port) == host_names(core))
    assert len(host_names(core)) == 2


def test_another_service_may_not_take_the_port(core):
    port = free_port()
    core.apply(service(port, replicas=2))
    other = f"  other:\n    image: lab/busybox\n    ports: ['127.0.0.1:{port}:1']\n"
    core.declare(service(port, replicas=2), other)
    assert core.command("plan", code=2) == ""
    assert set(replicas(core)) == {"bps-app-1", "bps-app-2"}
    core.declare(service(port, replicas=2))
