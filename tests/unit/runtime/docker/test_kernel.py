"""Rules of iptables(8) as Docker writes them, read."""

import pytest

from bayplan.models import Container, Kind, Network, ResourceId
from bayplan.runtime.docker import kernel
from bayplan.runtime.protocol import Observed, Snapshot, State, Status

FILTER = (
    "-A FORWARD -j DOCKER-USER",
    "-A FORWARD -o br-111111111111 -j DOCKER",
    "-A FORWARD -i br-111111111111 ! -o br-111111111111 -j ACCEPT",
)
NAT = (
    "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
    "-A POSTROUTING -s 172.18.0.0/16 ! -o br-111111111111 -j MASQUERADE",
    "-A DOCKER ! -i br-111111111111 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.18.0.2:80",
)
NET, WEB = ResourceId(kind=Kind.NETWORK, name="n"), ResourceId(kind=Kind.CONTAINER, name="web")


@pytest.fixture(autouse=True)
def up(monkeypatch):
    monkeypatch.setattr(kernel.links, "is_up", {"br-111111111111": True}.get)
    monkeypatch.setattr(kernel.links, "has_address", lambda name, *, six: not six)


def snapshot(**values):
    ready = Status(state=State.READY)
    runs = Status(state=State.RUNNING, addresses={"n": "172.18.0.2"}, ports=("0.0.0.0:8080->80/tcp",))
    network = Network.model_validate({"name": "n", **values})
    return Snapshot(
        {
            NET: Observed(actual=network, status=ready, handle="1" * 64),
            WEB: Observed(actual=Container(name="web", image="i"), status=runs),
        }
    )


def lacking(rules, **values):
    found = kernel.seen(snapshot(**values), rules)
    return found.get(NET).notes, found.get(NET).defects, found.get(WEB).defects


def test_all_that_docker_writes_is_nothing_to_tell():
    assert lacking(kernel.Rules(FILTER, NAT)) == ((), {}, {})
    assert lacking(None) == ((), {}, {})


def test_a_port_without_its_rule_needs_a_restart():
    notes, _, defects = lacking(kernel.Rules(FILTER, NAT[:2]))
    assert (notes, set(defects.values())) == ((), {"restart"})


def test_where_a_network_has_no_rules_a_restart_would_bring_nothing():
    (note,), defects, ports = lacking(kernel.Rules((), NAT[:1]))
    assert "nothing is forwarded for it" in note
    assert (defects, ports) == ({}, {})
    (note,), _, _ = lacking(kernel.Rules((), ()), internal=True)
    assert "open to other networks" in note


def test_masquerade_is_missed_where_it_is_wanted():
    (note,), _, _ = lacking(kernel.Rules(FILTER, NAT[2:]))
    assert "no longer the host's address" in note
    assert lacking(kernel.Rules(FILTER, NAT[2:]), masquerade=False)[0] == ()


def test_a_link_that_is_gone_needs_a_new_network():
    assert set(lacking(None, bridge_name="br-mine")[1].values()) == {"re-create"}


def test_a_lost_address_is_given_back_in_place():
    assert lacking(None)[1] == {}
    ((defect, how),) = lacking(None, enable_ipv6=True)[1].items()
    assert ("lost its IPv6 address" in defect, how) == (True, "in-place")
