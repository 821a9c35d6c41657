"""A plan's fields as properties of Pulumi, and what cannot stand beside what."""

from bayplan.pulumi import claims, verdict
from bayplan.pulumi.shapes import shapes
from bayplan.pulumi.values import UNKNOWN
from bayplan.pulumi.verdict import Way

CONTAINER = shapes()["bayplan:index:Container"]


def change(path, how="in-place", before="x", after="y"):
    return {"path": path, "how": how, "before": before, "after": after, "why": ""}


def differences(found):
    return {path: (one.way, one.replaces) for path, one in found.differences.items()}


def test_paths_go_on_to_what_differs():
    olds = {"ports": [{"target": 80}, {"target": 81}], "labels": {"a.b": "1", "c": "2"}}
    news = {"ports": [{"target": 80, "host_ip": "127.0.0.1"}], "labels": {"a.b": "3", "c": "2"}}
    found = verdict.of_fields(CONTAINER, [change("ports"), change("labels[a.b]")], olds, news)
    assert differences(found) == {
        "ports[0].hostIp": (Way.ADD, False),
        "ports[1]": (Way.DELETE, False),
        'labels["a.b"]': (Way.UPDATE, False),
    }
    assert found.top_level == ["ports", "labels"]


def test_drift_is_told_by_the_plan_alone():
    same = {"environment": {"MODE": "a"}, "image": "web"}
    changes = [change("environment[MODE]", "re-create"), change("image.digest", "re-create", before=None)]
    found = verdict.of_fields(CONTAINER, changes, same, same)
    assert differences(found) == {"environment.MODE": (Way.UPDATE, True), "imageDigest": (Way.ADD, True)}
    assert not any(one.of_input for one in found.differences.values())
    assert found.replaces == ["environment", "imageDigest"]


def test_what_is_to_be_left_alone_is():
    found = verdict.of_fields(CONTAINER, [change("labels[a]"), change("user", "re-create")], {}, {"user": "1"})
    found.ignore(["labels"])
    assert (list(found.differences), found.changed) == (["user"], True)
    found.ignore(["user"])
    assert (found.differences, found.changed) == ({}, False)


def test_what_is_not_known_yet():
    olds = {"image": "web:1", "networks": [{"network": "a"}], "user": "1"}
    news = {"image": UNKNOWN, "networks": [{"network": UNKNOWN}, {"network": UNKNOWN}], "user": "1"}
    assert verdict.unknown_filled(news, olds) == {
        "image": "web:1",
        "networks": [{"network": "a"}, {}],
        "user": "1",
    }
    assert set(verdict.unknown_fields(news)) == {"image", "networks"}
    found = verdict.of_inputs(CONTAINER, olds, news)
    assert differences(found) == {
        "image": (Way.UPDATE, True),
        "networks[0].network": (Way.UPDATE, False),
        "networks[1]": (Way.ADD, False),
    }


def test_only_one_can_have_a_name_a_port_or_an_address():
    def conflict(old, new, named=False):
        return claims.conflict(old, new, named=named)

    assert conflict({"name": "a"}, {"name": "a"}, named=True)
    assert not conflict({"name": "a"}, {"name": "a"})
    port = {"target": 80, "published": 8080}
    assert conflict({"ports": [port]}, {"ports": [{**port, "host_ip": "127.0.0.1"}]})
    assert not conflict({"ports": [port]}, {"ports": [{**port, "published": 8081}]})
    assert not conflict({"ports": [port]}, {"ports": [{**port, "protocol": "udp"}]})
    assert conflict({"ports": [port]}, {"ports": [{"target": "81", "published": "8080"}]})
    six = [{**port, "host_ip": "::1"}], [{**port, "host_ip": "0:0:0:0:0:0:0:1"}]
    assert conflict({"ports": six[0]}, {"ports": six[1]})
    assert not conflict({"ports": [port]}, {"ports": [{**port, "last": 8090}]})
    assert not conflict({"ports": [port]}, {"ports": [{**port, "published": object()}]})
    assert not conflict({"ports": [{"target": 80}]}, {"ports": [{"target": 80}]})
    assert not conflict({"ports": [{**port, "host_ip": "127.0.0.1"}]}, {"ports": [{**port, "host_ip": "127.0.0.2"}]})
    fixed = {"networks": [{"network": "n", "ipv4_address": "10.0.0.2"}]}
    assert conflict(fixed, fixed)
    assert conflict({"subnet": "10.0.0.0/24"}, {"subnet": "10.0.0.0/24"})
