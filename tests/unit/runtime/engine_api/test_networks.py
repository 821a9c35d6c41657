"""Networks: what is declared, written, made and read is what was declared."""

import pytest

from bayplan.models import Network
from bayplan.runtime.engine_api import networks
from bayplan.runtime.engine_api.declarations import NO_NOTE, Note, to_text
from bayplan.runtime.engine_api.options import networks as words
from unit.runtime.engine_api.inspections import NEW, OLD

DECLARED = [
    {},
    {"subnet": "10.99.0.0/24"},
    {"subnet": "10.99.0.0/24", "gateway": "10.99.0.1", "ip_range": "10.99.0.128/25"},
    {"subnet": "10.99.0.0/24", "gateway": "10.99.0.254", "aux_addresses": {"router": "10.99.0.5"}},
    {"enable_ipv6": True},
    {"enable_ipv6": True, "subnet": "10.99.0.0/24", "ipv6_subnet": "fd00:9::/64", "ipv6_gateway": "fd00:9::9"},
    {"internal": True, "icc": False, "masquerade": False, "mtu": 1400, "bridge_name": "br-mine"},
    {"source_check": False},
    {"labels": {"a": "b", "com.docker.compose.network": "n"}},
    {"driver": "macvlan", "parent": "eth0", "mode": "private", "subnet": "10.99.0.0/24"},
    {
        "driver": "ipvlan",
        "parent": "eth0",
        "subnet": "10.99.0.0/24",
        "further_ranges": [{"subnet": "10.98.0.0/24", "gateway": "10.98.0.9"}],
    },
]


def network(**values):
    return Network.model_validate({"name": "n", **values})


def listed(wanted, engine, labels=None):
    """``GET /networks`` of one that was made, with the ranges that the engine chose."""
    made = words.written(wanted, engine)
    pools = made["IPAM"]["Config"]
    if wanted.subnet is None:
        pools.insert(0, {"Subnet": "172.18.0.0/16", "Gateway": "172.18.0.1"})
    return {**made, "Id": "1" * 64, "Labels": labels or {}}


@pytest.mark.parametrize("engine", [OLD, NEW], ids=lambda engine: engine.version)
@pytest.mark.parametrize("values", DECLARED, ids=str)
def test_a_network_is_seen_as_it_was_declared(values, engine):
    wanted = network(**values)
    own = {**wanted.labels, **networks.marks(wanted, "p")}
    found = networks.observed(listed(wanted, engine, own), NO_NOTE)
    assert (found.actual, found.declared, found.managed, found.project) == (wanted, wanted, True, "p")


@pytest.mark.parametrize("values", DECLARED[1:4], ids=str)
def test_one_that_is_not_as_declared_is_seen(values):
    wanted = network(**values)
    note = Note(to_text(wanted), "p", whole=False, stopped_at="")
    found = networks.observed(listed(network(subnet="10.77.0.0/24", internal=True), OLD), note)
    assert (str(found.actual.subnet), found.actual.internal) == ("10.77.0.0/24", True)


def test_one_that_another_tool_made_is_compared_by_what_is_declared():
    wanted = network(subnet="10.99.0.0/24", gateway="10.99.0.1", labels={"a": "b", "io.bayplan.managed": "true"})
    compose = {"a": "b", "com.docker.compose.config-hash": "h", "com.docker.compose.version": "5"}
    found = networks.observed(listed(wanted, OLD, compose), NO_NOTE)
    assert (found.managed, found.declared) == (False, None)
    assert words.aligned(wanted, found).actual == wanted


def test_a_range_of_ipv6_is_found_where_the_engine_has_no_pool():
    wanted = network(enable_ipv6=True)
    (first,) = words.written(wanted, OLD)["IPAM"]["Config"]
    assert first["Subnet"].startswith("fd")
    assert words.written(wanted, OLD)["IPAM"]["Config"] == [first]
    taken = [{"IPAM": {"Config": [first]}}]
    (other,) = words.written(wanted, OLD, taken)["IPAM"]["Config"]
    assert other != first
    assert words.written(wanted, NEW)["IPAM"]["Config"] == []


def test_a_bridge_with_more_than_one_range_is_a_gap():
    wanted = network(subnet="10.99.0.0/24", further_ranges=[{"subnet": "10.98.0.0/24"}])
    assert [option for option, _ in words.gaps(wanted, NEW)] == ["network.further_ranges"]
