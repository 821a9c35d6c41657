"""Options that came with later versions of Docker: `./run engines sid` has one."""

import pytest

from bayplan.reconcile.plan import Action

pytestmark = pytest.mark.host
STACK = """
services:
  web:
    image: IMAGE
    command: [sleep, "600"]
    init: true
    stop_grace_period: 1s
    annotations: {org.example.note: x}
    healthcheck: {test: "true", interval: 5s, start_period: 5s, start_interval: 1s}
    volumes:
      - {type: volume, source: data, target: /part, volume: {subpath: sub}}
      - {type: bind, source: ./made, target: /made, bind: {create_host_path: true}}
      - {type: bind, source: ./made, target: /locked, read_only: true, bind: {recursive: readonly}}
      - {type: image, source: IMAGE, target: /image}
    networks:
      front: {gw_priority: 5, interface_name: front0, mac_address: "02:00:00:00:00:01"}
      back:
        mac_address: "02:00:00:00:00:02"
        driver_opts: {com.docker.network.endpoint.sysctls: "net.ipv4.conf.IFNAME.log_martians=1"}
networks: {front: {enable_ipv6: true}, back: {}}
volumes: {data: {}}
"""


@pytest.fixture
def newer(dock):
    if not dock.runtime.engine.speaks((1, 49)):
        pytest.skip(f"{dock.runtime.engine.name} is older than 28.1")
    dock.apply(STACK[: STACK.index("    annotations")] + "    volumes: ['data:/d']\nvolumes: {data: {}}\n")
    dock.sh("web", "mkdir /d/sub; echo part > /d/sub/file")
    return dock


def test_newer_options_leave_an_empty_plan_and_are_so(newer):
    (newer.root / "made").mkdir()
    newer.apply(STACK)
    assert newer.sh("web", "cat /part/file") == "part\n"
    assert newer.sh("web", "ls /image/bin/busybox") == "/image/bin/busybox\n"
    assert newer.sh("web", "cat /sys/class/net/front0/address") == "02:00:00:00:00:01\n"
    assert newer.sh("web", "cat /proc/sys/net/ipv4/conf/*/log_martians | grep -c 1") == "1\n"
    shown = newer.engine.call("inspect", "-f", "{{json .HostConfig.Annotations}}", newer.name("web"))
    assert '"org.example.note":"x"' in shown


def test_a_place_is_given_back_with_all_of_them(newer):
    """But for a MAC address: Docker takes one when it makes a container, and not when it connects one."""
    (newer.root / "made").mkdir()
    newer.apply(STACK)
    newer.engine.call("network", "disconnect", f"{newer.project}_front", newer.name("web"))
    assert [step.action for step in newer.apply(STACK).steps] == [Action.RECREATE]
    without = STACK.replace(', mac_address: "02:00:00:00:00:01"', "").replace(
        'mac_address: "02:00:00:00:00:02"', "aliases: [b]"
    )
    newer.apply(without)
    for network in ("front", "back"):
        newer.engine.call("network", "disconnect", f"{newer.project}_{network}", newer.name("web"))
    assert [step.action for step in newer.apply(without).steps] == [Action.UPDATE]
    assert newer.sh("web", "ls /sys/class/net").split() == ["eth0", "front0", "lo"]
