"""Rules of iptables(8) as Docker writes them, read."""

import json

import pytest

from bayplan.models import Container, Kind, Network, ResourceId
from bayplan.runtime.docker import kernel, rules
from bayplan.runtime.docker.rules import Rules, _written
from bayplan.runtime.engine_api.engine import Engine
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
NAT_SIX = (
    "-A POSTROUTING -s fd00::/64 ! -o br-111111111111 -j MASQUERADE",
    "-A DOCKER ! -i br-111111111111 -p tcp -m tcp --dport 8080 -j DNAT --to-destination [fd00::2]:80",
)
NET, WEB = ResourceId(kind=Kind.NETWORK, name="n"), ResourceId(kind=Kind.CONTAINER, name="web")


@pytest.fixture(autouse=True)
def up(monkeypatch):
    monkeypatch.setattr(kernel.links, "is_up", {"br-111111111111": True}.get)
    monkeypatch.setattr(kernel.links, "has_address", lambda name, *, six: not six)


def snapshot(**values):
    ready = Status(state=State.READY)
    ports = ("0.0.0.0:8080->80/tcp", "[::]:8080->80/tcp")
    six = {"n": "fd00::2"} if "enable_ipv6" in values else {}
    runs = Status(state=State.RUNNING, addresses={"n": "172.18.0.2"}, addresses_v6=six, ports=ports)
    network = Network.model_validate({"name": "n", **values})
    return Snapshot(
        {
            NET: Observed(actual=network, status=ready, handle="1" * 64),
            WEB: Observed(actual=Container(name="web", image="i"), status=runs),
        }
    )


def lacking(*known, **values):
    there = snapshot(**values)
    found = kernel.seen(there, kernel.look(there, {one.version: one for one in known}))
    return found.get(NET).notes, found.get(NET).defects, found.get(WEB).defects


def test_all_that_docker_writes_is_nothing_to_tell():
    assert lacking(Rules(FILTER, NAT)) == ((), {}, {})
    assert lacking() == ((), {}, {})


def test_a_port_without_its_rule_needs_a_restart():
    notes, _, defects = lacking(Rules(FILTER, NAT[:2]))
    assert (notes, set(defects.values())) == ((), {"restart"})


def test_where_a_network_has_no_rules_a_restart_would_bring_nothing():
    (note,), defects, ports = lacking(Rules((), NAT[:1]))
    assert "nothing is forwarded for it" in note
    assert (defects, ports) == ({}, {})
    (note,), _, _ = lacking(Rules((), ()), internal=True)
    assert "open to other networks" in note


def test_masquerade_is_missed_where_it_is_wanted():
    (note,), _, _ = lacking(Rules(FILTER, NAT[2:]))
    assert "no longer the host's address" in note
    assert lacking(Rules(FILTER, NAT[2:]), masquerade=False)[0] == ()


def test_a_link_that_is_gone_needs_a_new_network():
    assert set(lacking(bridge_name="br-mine")[1].values()) == {"re-create"}


def test_a_lost_address_is_given_back_in_place():
    assert lacking()[1] == {}
    ((defect, how),) = lacking(enable_ipv6=True)[1].items()
    assert ("lost its IPv6 address" in defect, how) == (True, "in-place")


def test_rules_of_each_version_of_ip_count_where_docker_writes_them(monkeypatch):
    monkeypatch.setattr(kernel.links, "has_address", lambda name, *, six: True)
    four, six = Rules(FILTER, NAT), Rules(FILTER, NAT_SIX, 6)
    assert lacking(four, enable_ipv6=True) == ((), {}, {})
    assert lacking(four, six, enable_ipv6=True) == ((), {}, {})
    notes, _, defects = lacking(four, Rules(FILTER, NAT_SIX[:1], 6), enable_ipv6=True)
    assert notes == ()
    assert [text.split()[3] for text in defects] == ["[::]:8080"]
    (note,), _, defects = lacking(four, Rules((), (), 6), enable_ipv6=True)
    assert "(ip6tables)" in note
    assert defects == {}
    assert lacking(four, Rules((), (), 6)) == ((), {}, {})  # a network without IPv6 has none of them


@pytest.mark.parametrize(
    ("words", "settings", "api", "expected"),
    [
        ([], {}, (1, 41), (4,)),
        ([], {}, (1, 46), (4, 6)),
        (["--ip6tables"], {}, (1, 41), (4, 6)),
        ([], {"ip6tables": False}, (1, 51), (4,)),
        (["--iptables=false"], {}, (1, 51), ()),
        ([], {"iptables": False}, (1, 51), ()),
        (["--firewall-backend", "nftables"], {}, (1, 51), ()),
        ([], {"firewall-backend": "nftables"}, (1, 51), ()),
    ],
)
def test_an_administrator_may_keep_docker_from_rules(words, settings, api, expected, tmp_path, monkeypatch):
    home = tmp_path / "7"
    (home / "root/etc/docker").mkdir(parents=True)
    (home / "cmdline").write_bytes("\0".join(["dockerd", *words, ""]).encode())
    (home / "root/etc/docker/daemon.json").write_text(json.dumps(settings))
    monkeypatch.setattr(rules, "Path", lambda path: tmp_path / path.removeprefix("/proc/"))
    assert _written(7, Engine("docker", "", api)) == expected
