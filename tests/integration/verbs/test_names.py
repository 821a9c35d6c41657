"""Links, and what inspect tells of options, on the real core."""

import os

import pytest

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
STACK = """\
name: bpv
services:
  app:
    image: lab/busybox
    command: [sleep, '600']
    stop_grace_period: 50ms
    links: ["base:store"]
    networks: [front, back]
    mac_address: 02:42:ac:11:65:43
    healthcheck: {test: [CMD, 'true'], interval: 1m, retries: 4}
    ulimits: {nofile: 99}
    extra_hosts: ["x:192.0.2.7", "x:192.0.2.8"]
    devices: ["/dev/null:/dev/nothing:rw"]
    mem_limit: 64m
    cgroup_parent: team
    logging: {options: {max-size: 1m}}
    init: true
  base:
    image: lab/busybox
    command: [sleep, '600']
    stop_grace_period: 50ms
    networks: [back, other]
networks: {front: {}, back: {}, other: {}}
"""


def test_a_linked_service_is_found_by_its_other_name(bayplan):
    bayplan.file.write_text(STACK)
    bayplan("apply")
    address = bayplan("inspect", "base", "--format", "{{.NetworkSettings.Networks.bpv_back.IPAddress}}").strip()
    lines = [line.split() for line in bayplan("exec", "app", "cat", "/etc/hosts").splitlines()]
    assert [names[0] for names in lines if "store" in names] == [address]
    assert [names[0] for names in lines if "x" in names] == ["192.0.2.7", "192.0.2.8"]
    assert "Nothing to do" in bayplan("plan")


def test_inspect_tells_of_every_option(bayplan):
    bayplan.file.write_text(STACK)
    bayplan("create")
    (found,) = bayplan("inspect", "app", "--json")
    host, config = found["HostConfig"], found["Config"]
    assert config["Healthcheck"] == {"Test": ["CMD", "true"], "Interval": 60 * 10**9, "Retries": 4}
    assert host["Ulimits"] == [{"Name": "nofile", "Soft": 99, "Hard": 99}]
    assert host["ExtraHosts"] == ["x:192.0.2.7", "x:192.0.2.8"]
    assert host["Devices"][0]["PathInContainer"] == "/dev/nothing"
    assert (host["Memory"], host["CgroupParent"], host["Init"]) == (64 << 20, "team", True)
    assert host["LogConfig"] == {"Type": "k8s-file", "Config": {"max-size": str(1 << 20)}}
    assert (host["IpcMode"], host["CgroupnsMode"], host["PidMode"]) == ("private", "private", "")


def test_the_mac_address_is_that_of_the_first_network(bayplan):
    bayplan.file.write_text(STACK)
    bayplan("apply")
    found = bayplan("exec", "app", "sh", "-c", "cat /sys/class/net/*/address").split()
    assert "02:42:ac:11:65:43" in found
    bayplan("logs", "-n", "all", "app")
