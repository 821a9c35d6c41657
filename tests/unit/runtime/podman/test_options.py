"""What Podman shows of a container, against what was declared."""

from dataclasses import replace

import pytest

from bayplan.models import Container
from bayplan.runtime.engine_api import options
from bayplan.runtime.engine_api.engine import Engine
from bayplan.runtime.engine_api.options import Shape
from bayplan.runtime.podman.options import PODMAN_TABLE

ENGINE = Engine(kind="podman", version="4.3.1", api=(1, 41))
DECLARED = {
    "name": "web",
    "image": "lab/busybox",
    "environment": {"A": "b"},
    "networks": [{"network": "n", "aliases": ["w"], "ipv4_address": "10.1.0.9"}],
}


def shape(declared, **places):
    """An inspection of the container, with what Podman adds and leaves out."""
    asked = options.written(declared, ENGINE, {}, PODMAN_TABLE)
    endpoints = {
        name: {"IPAMConfig": None, "Aliases": [*(place.get("Aliases") or ()), "0123456789ab"], **places}
        for name, place in asked.endpoints.items()
    }
    config = {**asked.config, "Env": ["A=b", "TERM=xterm", "container=podman", "HOME=/root"]}
    host = {**asked.host, "PidsLimit": 2048, "MemorySwappiness": 0, "PidMode": "private", "Runtime": "oci"}
    return Shape(ENGINE, {}, config, host, endpoints, id="0123456789ab" + "0" * 52)


def test_what_podman_adds_is_no_difference():
    declared = Container.model_validate(DECLARED)
    for places in ({}, {"IPAddress": "10.1.0.9"}):
        assert options.settled(declared, shape(declared, **places), PODMAN_TABLE) == declared


def test_another_address_a_lost_network_and_a_limit_are_seen():
    declared = Container.model_validate(DECLARED)
    moved = options.settled(declared, shape(declared, IPAddress="10.1.0.10"), PODMAN_TABLE)
    assert str(moved.networks[0].ipv4_address) == "10.1.0.10"
    lost = replace(shape(declared), endpoints={})
    assert options.settled(declared, lost, PODMAN_TABLE).networks == ()
    limited = shape(declared)
    limited = replace(limited, host={**limited.host, "Memory": 1 << 20})
    assert int(options.settled(declared, limited, PODMAN_TABLE).resources.memory) == 1 << 20


def test_an_edit_of_what_is_recorded_is_still_an_edit():
    old = Container.model_validate(DECLARED)
    new = old.model_copy(update={"hostname": "other"})
    own = Shape.of_body(options.written(new, ENGINE, {}, PODMAN_TABLE))
    there = Shape.of_body(options.written(old, ENGINE, {}, PODMAN_TABLE))
    assert PODMAN_TABLE["hostname"].settle("other", own, there) != "other"


@pytest.mark.parametrize(
    ("fields", "option"),
    [
        ({"domainname": "d"}, "domainname"),
        ({"stdin_once": True}, "stdin_once"),
        ({"ports": [{"target": 9, "published": 9000, "last": 9010}]}, "ports"),
        ({"mounts": [{"type": "tmpfs", "target": "/t", "uid": 5}]}, "mounts"),
        ({"resources": {"memory": "64m", "memory_swap": -1}}, "resources.memory_swap"),
    ],
)
def test_what_it_cannot_honour_is_known_before(fields, option):
    wanted = Container.model_validate({"name": "c", "image": "i", **fields})
    assert option in [path for path, _ in options.gaps(wanted, ENGINE, PODMAN_TABLE)]


def test_the_annotations_by_which_podman_talks_to_its_runtime_are_nobodys():
    declared = Container.model_validate({**DECLARED, "annotations": {"com.example.team": "ships"}})
    found = shape(declared)
    noted = {"io.container.manager": "libpod", "org.systemd.property.KillSignal": "15", "com.example.team": "ships"}
    found = replace(found, host={**found.host, "Annotations": noted})
    assert PODMAN_TABLE["annotations"].read(found) == {"com.example.team": "ships"}
