"""Fields of models by Pulumi's names, and back."""

import pytest

from bayplan.models import RESOURCE_MODELS, Container, Kind, Network
from bayplan.pulumi import names

FIELDS = {
    "name": "web",
    "stop_grace_period": "20s",
    "labels": {"a_b": "1", "com.example.some_key": "2"},
    "environment": {"LOG_LEVEL": "info"},
    "ports": [{"target": 80, "host_ip": "127.0.0.1"}],
    "mounts": [{"type": "bind", "source": "/srv", "target": "/data", "create_host_path": True}],
    "resources": {"memory_swap": "1g", "hugetlb": {"2MB": "4m"}, "blkio": {"read_bps": [{"path": "/dev/sda"}]}},
    "ulimits": {"no_file": {"soft": 1, "hard": 2}},
    "networks": [{"network": "front", "sysctls": {"net.ipv4.conf.IFNAME.log_martians": "1"}, "gw_priority": 3}],
    "healthcheck": None,
}


def test_names_of_ours_change_and_those_of_the_user_stay():
    found = names.properties(Container, FIELDS)
    assert found["stopGracePeriod"] == "20s"
    assert found["labels"] == FIELDS["labels"]
    assert found["ports"] == [{"target": 80, "hostIp": "127.0.0.1"}]
    assert found["mounts"][0]["createHostPath"] is True
    assert found["resources"] == {
        "memorySwap": "1g",
        "hugetlb": {"2MB": "4m"},
        "blkio": {"readBps": [{"path": "/dev/sda"}]},
    }
    assert found["ulimits"] == {"no_file": {"soft": 1, "hard": 2}}
    assert found["networks"][0] == {
        "network": "front",
        "sysctls": {"net.ipv4.conf.IFNAME.log_martians": "1"},
        "gwPriority": 3,
    }
    assert names.fields(Container, found) == FIELDS


def test_what_is_no_property_keeps_its_name():
    assert names.fields(Container, {"stopGracePriod": "1s", "stopGracePeriod": "2s"}) == {
        "stopGracePriod": "1s",
        "stop_grace_period": "2s",
    }
    assert names.properties(Container, "unknown") == "unknown"


@pytest.mark.parametrize(
    ("model", "place", "text"),
    [
        (Container, ("ports", 0, "host_ip"), "ports[0].hostIp"),
        (Container, ("labels", "a.b"), 'labels["a.b"]'),
        (Container, ("labels", "plain"), "labels.plain"),
        (Container, ("mounts", 1, "bind", "create_host_path"), "mounts[1].createHostPath"),
        (Container, ("resources", "blkio", "read_bps", 0, "rate"), "resources.blkio.readBps[0].rate"),
        (Network, ("aux_addresses", "some_host"), "auxAddresses.some_host"),
        (Container, (), ""),
    ],
)
def test_places_are_written_as_pulumi_does(model, place, text):
    assert names.path(model, place) == text


@pytest.mark.parametrize("kind", list(RESOURCE_MODELS), ids=str)
def test_no_two_fields_have_one_name(kind: Kind):
    every = list(RESOURCE_MODELS[kind].model_fields)
    assert len({names.camel(name) for name in every}) == len(every)
