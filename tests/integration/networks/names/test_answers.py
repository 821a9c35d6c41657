"""Names on networks, asked by the DNS client of busybox inside containers, of the real name server."""

import os
import secrets
import threading
from pathlib import Path

import pytest

from bayplan.models import Duration, Endpoint, Kind

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not Path("/usr/lib/podman/aardvark-dns").exists(), reason="needs aardvark-dns"),
]


def test_a_container_on_two_networks_is_told_of_both_and_strangers_are_told_nothing(core):
    with core.change():
        core.network("front")
        core.network("back")
        core.box("web-1", "front", "back", service="web")
        core.box("store-1", "back", service="store", aliases=("Depot",), hostname="storehost")
        core.box("far-1", "front", service="far")
    store, far = [core.address("store-1", "back")], [core.address("far-1", "front")]
    for name in (
        "store",
        "store-1",
        "depot",
        "DEPOT",
        "StoreHost",
        core.observed(Kind.CONTAINER, "store-1").handle[:12],
    ):
        assert core.ask("web-1", name) == store
    assert core.ask("web-1", "far") == far
    assert core.ask("far-1", "store") is None
    assert core.ask("store-1", "far") is None
    assert core.ask("store-1", "web") == [core.address("web-1", "back")]
    # The name server itself would tell a stranger who asks another network's gateway.
    gateway = core.gateway("back")
    assert core.ask("web-1", "store", gateway) == store
    asked = core.runtime.exec("far-1", ["nslookup", "-type=a", "-timeout=1", "-retry=1", "store", gateway])
    assert store[0] not in asked.stdout.decode() + asked.stderr.decode()
    assert asked.exit_code != 0
    text = core.runtime.exec("web-1", ["cat", "/etc/resolv.conf"]).stdout.decode()
    assert text.startswith(f"nameserver {core.gateway('front')}\n")
    assert text.count("nameserver") == 1
    assert "options ndots:0\n" in text


def test_a_service_name_gives_every_replica_and_one_that_left_is_gone(core):
    with core.change():
        core.network("n")
        core.box("client", "n")
        for number in range(3):
            core.box(f"web-{number}", "n", service="web")
    every = sorted(core.address(f"web-{number}", "n") for number in range(3))
    assert core.ask("client", "web") == every
    with core.change():
        gone = core.address("web-1", "n")
        core.remove("web-1")
    assert core.ask("client", "web") == sorted(set(every) - {gone})
    assert core.ask("client", "web-1") is None


def test_what_waits_for_a_container_finds_it_by_name(core):
    with core.change():
        core.network("n")
        core.box("client", "n")
        core.box("late", "n")
        core.runtime.wait("late", "service_started", Duration(seconds=20))
        assert core.ask("client", "late") == [core.address("late", "n")]


def test_other_names_are_asked_of_the_host_s_servers_but_not_for_internal_networks(core, upstream):
    """Attack row Network: internal networks get no upstream DNS."""
    with core.change():
        core.network("out")
        core.network("inside", internal=True)
        core.box("both", "inside", "out")
        core.box("closed", "inside")
    assert core.runtime.exec("both", ["cat", "/etc/resolv.conf"]).stdout.startswith(
        f"nameserver {core.gateway('out')}\n".encode()
    )
    assert core.ask("both", "www.example.org.") == [upstream.address]
    assert upstream.known in upstream.asked
    assert core.ask("both", "closed.") == [core.address("closed", "inside")]
    assert core.ask("closed", "both.") == [core.address("both", "inside")]
    upstream.asked.clear()
    done = core.runtime.exec("closed", ["nslookup", "-type=a", "-timeout=1", "-retry=1", "www.example.org."])
    assert done.exit_code != 0
    assert upstream.asked == []


def test_many_changes_at_once_are_told_in_few_reloads_and_none_is_lost(core, monkeypatch):
    reloads = []
    reload = core.runtime.networks.name_server.daemon.reload
    monkeypatch.setattr(
        core.runtime.networks.name_server.daemon, "reload", lambda process: reloads.append(1) or reload(process)
    )
    boxes = [secrets.token_hex(32) for _ in range(200)]
    with core.change():
        core.network("n")
        core.box("client", "n")
        with core.runtime.database.transaction() as tx:
            for box in boxes:
                tx.execute(
                    "INSERT INTO containers (id, name, project, service, declared, image_digest, phase, created_at)"
                    " VALUES (?, ?, 'p', 'many', '{}', 'sha256:0', 'created', 'now')",
                    (box, f"b{box[:8]}"),
                )

        def attach(part):
            for box in part:
                core.runtime.networks.attach(box, [Endpoint(network="n")], [])

        threads = [threading.Thread(target=attach, args=(boxes[number::4],)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    # The marker covers all of them.
    assert core.observed(Kind.NETWORK, "n").defects == {}
    for box in boxes[::20]:
        assert core.ask("client", box[:12]) == [core.address(f"b{box[:8]}", "n")]
    assert len(reloads) < len(boxes)
    with core.change():
        for box in boxes:
            core.runtime.networks.detach(box)
        with core.runtime.database.transaction() as tx:
            tx.execute("DELETE FROM containers WHERE service = 'many'")
    assert core.ask("client", "many") is None


def test_a_bridge_keeps_its_address_when_its_ports_come_and_go(core):
    with core.change():
        core.network("n")
        bridge = Path("/sys/class/net") / core.observed(Kind.NETWORK, "n").handle / "address"
        before = bridge.read_text()
        for number in range(3):
            core.box(f"b{number}", "n")
        assert bridge.read_text() == before
        core.remove("b0", "b1")
        assert bridge.read_text() == before


def test_a_container_made_anew_has_the_address_that_its_name_had(core):
    """Programs keep the address of a peer that they looked up once."""
    with core.change():
        core.network("n")
        for name in ("one", "two", "three"):
            core.box(name, "n")
        had = {name: core.address(name, "n") for name in ("one", "two", "three")}
        core.remove("one", "two")
        core.box("four", "n")
        assert core.address("four", "n") not in had.values()
        core.box("two", "n")
        core.box("one", "n")
        assert {name: core.address(name, "n") for name in had} == had
