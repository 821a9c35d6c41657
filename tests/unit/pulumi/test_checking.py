"""Inputs against the models: what is told, by which path, and what is not judged before it is known."""

from bayplan.pulumi import checking, imports
from bayplan.pulumi.shapes import shapes
from bayplan.pulumi.values import UNKNOWN, Secret

CONTAINER = shapes()["bayplan:index:Container"]
NETWORK = shapes()["bayplan:index:Network"]


def wrong(shape, **inputs):
    return {one.property: one.reason for one in checking.wrong(shape, checking.fields(shape, {"name": "it", **inputs}))}


def container(**inputs):
    return wrong(CONTAINER, image="lab/web", **inputs)


def test_paths_lead_to_the_property():
    assert set(container(labels={"a.b": 1})) == {'labels["a.b"]'}
    assert set(container(networks=[{"network": "n", "ipv4Adress": "1.2.3.4"}])) == {"networks[0].ipv4Adress"}
    assert container(stopGracePeriod="5") == {
        "stopGracePeriod": "not a duration: '5'; write a number with a unit, such as 30s or 1m30s"
    }
    assert set(container(waitTimeout="soon", wait="ready")) == {"waitTimeout", "wait"}
    assert set(wrong(CONTAINER)) == {"image"}
    assert set(container(service="web", dependsOn=[])) == {"service", "dependsOn"}


def test_a_whole_that_cannot_be_is_told_at_what_it_names():
    assert set(container(networkMode="host", ports=[{"target": 80}])) == {"ports"}
    assert set(wrong(NETWORK, driver="macvlan")) <= {"parent", "driver"}


def test_what_is_not_known_is_not_judged():
    assert container(networkMode=UNKNOWN, ports=[{"target": UNKNOWN}], environment={"A": UNKNOWN}) == {}
    assert wrong(CONTAINER, image=UNKNOWN) == {}
    assert wrong(NETWORK, driver="macvlan", parent=UNKNOWN) == {}
    assert container(networks=[UNKNOWN, {"network": 5}]) == {}
    assert set(container(dns=UNKNOWN, user=5)) == {"user"}


def test_no_reason_holds_a_value():
    found = container(environment={"TOKEN": Secret(["hush"])}, healthcheck={"test": ["CMD"], "interval": "hush"})
    assert "hush" not in found["environment.TOKEN"]


def test_grants_are_found_where_compose_has_them():
    found = checking.fields(CONTAINER, {"secrets": [{"source": "db"}], "configs": [{"source": "app", "target": "/x"}]})
    assert found["secrets"] == [{"source": "db", "target": "/run/secrets/db"}]
    assert found["configs"] == [{"source": "app", "target": "/x"}]


def test_what_is_imported_can_be_declared():
    fields = {
        "name": "web",
        "image": "lab/web",
        "service": "web",
        "depends_on": [{"service": "db"}],
        "labels": {"a_b": "1"},
        "secrets": [{"source": "db", "target": "/x", "file": "/etc/db", "fingerprint": "f" * 32}],
        "mounts": [
            {"type": "volume", "source": "anonymous", "target": "/data", "of_image": True},
            {"type": "bind", "source": "/srv", "target": "/srv", "read_only": True},
        ],
        "ports": [{"target": 80, "host_ip": "127.0.0.1"}],
    }
    found = imports.inputs(CONTAINER, fields)
    assert found == {
        "name": "web",
        "image": "lab/web",
        "labels": {"a_b": "1"},
        "secrets": [{"source": "db", "target": "/x"}],
        "mounts": [{"type": "bind", "source": "/srv", "target": "/srv", "readOnly": True}],
        "ports": [{"target": 80, "hostIp": "127.0.0.1"}],
    }
    assert checking.wrong(CONTAINER, checking.fields(CONTAINER, found)) == []
