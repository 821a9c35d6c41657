"""What is changed from outside on a running container is seen with its cause and healed by the smallest action."""

import json
import os
import resource
import shutil
import subprocess
from pathlib import Path

import pytest

from bayplan.runtime.native.containers import grants
from bayplan.runtime.native.containers.spec import isolation
from bayplan.system import cgroups
from faults.core import Core, add_image
from leaks import leaks

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

DISKS = [path for path in sorted(Path("/sys/block").iterdir()) if Path("/dev", path.name).is_block_device()]
DISK = (DISKS[0] / "dev").read_text().strip() if DISKS else ""
RATE = f"blkio_config: {{device_read_bps: [{{path: /dev/{DISKS[0].name}, rate: 2mb}}]}}" if DISKS else ""
COMPOSE = """\
name: held
services:
  app:
    image: lab/busybox
    command: [sleep, "600"]
    stop_grace_period: 0s
    hostname: held
    mem_limit: 64m
    memswap_limit: 96m
    mem_reservation: 32m
    cpuset: "0"
    pids_limit: 100
    cpu_shares: 512
    RATE
    cpus: 0.5
    oom_score_adj: 300
    ulimits: {nofile: {soft: 512, hard: 1024}}
    sysctls: {net.ipv4.ip_default_ttl: 70, kernel.msgmax: 9000}
    devices: [/dev/net/tun:/dev/tunnel]
    volumes: ["data:/data"]
    secrets: [word]
    configs: [{source: plain, target: /etc/plain}]
    networks: [front, back]
  other:
    image: lab/busybox
    command: [sleep, "600"]
    stop_grace_period: 0s
    networks: [front]
networks: {front: {}, back: {internal: true}}
volumes: {data: {}}
secrets: {word: {file: ./word}}
configs: {plain: {content: "one\\n"}}
"""


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    """One stack for all: each test heals what it harms."""
    directory = tmp_path_factory.mktemp("drift")
    file = directory / "compose.yaml"
    (directory / "word").write_text("secret\n")
    has_device = Path("/dev/net/tun").exists()
    text = COMPOSE.replace("RATE", RATE)
    file.write_text(text if has_device else text.replace("/dev/net/tun", "/dev/null"))
    made = Core(file, pool="10.221.0.0/16")
    add_image(made.settings.state_root / "images")
    try:
        made.call("apply")
        yield made
        made.call("destroy", "--volumes")
        assert leaks(made.settings) == []
    finally:
        made.remove()


def run(*argv):
    subprocess.run(argv, check=True, capture_output=True)


def in_net(pid, *argv):
    run("nsenter", "-t", str(pid), "-n", *argv)


def in_mounts(pid, *argv):
    """Programs of the host, where only the mounts are the container's."""
    run("nsenter", "-t", str(pid), "-m", "/bin/busybox", *argv)


def group_file(core, controller, name):
    top = cgroups.ROOT if cgroups.is_unified() else cgroups.ROOT / controller
    (found,) = (top / core.settings.cgroup_parent.lstrip("/")).rglob(f"{core.status()['held-app-1']['id']}*/{name}")
    return found


def write_limit(core, _):
    name = "memory.max" if cgroups.is_unified() else "memory.limit_in_bytes"
    swap = "memory.swap.max" if cgroups.is_unified() else "memory.memsw.limit_in_bytes"
    for file in (swap, name):
        if cgroups.has_file("memory", file):
            group_file(core, "memory", file).write_text(str(128 << 20))


def raise_swap(_, __):
    """Done by ``write_limit``, which has to raise it first."""


def reserve_memory(core, _):
    name = "memory.low" if cgroups.is_unified() else "memory.soft_limit_in_bytes"
    group_file(core, "memory", name).write_text(str(16 << 20))


def widen_cpuset(core, _):
    group_file(core, "cpuset", "cpuset.cpus").write_text("0-1")


def change_shares(core, _):
    """Version 2 has weights instead."""
    group_file(core, "cpu", "cpu.shares").write_text("100")


def lift_rate(core, _):
    name, text = ("io.max", "rbps=max") if cgroups.is_unified() else ("blkio.throttle.read_bps_device", "0")
    group_file(core, "blkio", name).write_text(f"{DISK} {text}")


def write_pids(core, _):
    group_file(core, "pids", "pids.max").write_text("max")


def raise_hard_limit(_, pid):
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (2048, 4096))


def offer_to_oom(_, pid):
    Path(f"/proc/{pid}/oom_score_adj").write_text("700")


def change_sysctl(_, pid):
    in_net(pid, "sh", "-c", "echo 10 > /proc/sys/net/ipv4/ip_default_ttl")


def change_hostname(_, pid):
    run("nsenter", "-t", str(pid), "-u", "hostname", "other")


def take_address(_, pid):
    in_net(pid, "ip", "address", "flush", "dev", "eth1")


def take_route(_, pid):
    in_net(pid, "ip", "route", "del", "default")


def link_down_inside(_, pid):
    in_net(pid, "ip", "link", "set", "eth0", "down")


def empty_hosts(core, _):
    told_file(core, "hosts").write_text("127.0.0.1\tlocalhost\n")


def empty_resolv_conf(core, _):
    told_file(core, "resolv.conf").write_text("")


def told_file(core, name):
    return core.settings.run_root / "containers" / core.status()["held-app-1"]["id"] / name


IN_PLACE = {
    empty_hosts: "its hosts file lost its peers",
    empty_resolv_conf: "its resolv.conf lost name server",
    write_limit: "its memory limit is",
    reserve_memory: "its reserved memory is 16MiB, not 32MiB",
    write_pids: "it may have any number of processes",
    change_sysctl: "net.ipv4.ip_default_ttl is 10, not 70",
    change_hostname: "kernel.hostname is other, not held",
    take_address: "lost its address",
    take_route: "lost its way out",
    link_down_inside: "its link to network held_front is down",
}


def unmount_volume(_, pid):
    in_mounts(pid, "umount", "/data")


def uncover_kernel(_, pid):
    in_mounts(pid, "umount", "/proc/interrupts")


def remove_device(_, pid):
    Path(f"/proc/{pid}/root/dev/tunnel").unlink()


def unmount_secret(_, pid):
    in_mounts(pid, "umount", "/run/secrets/word")


def remove_config(core, _):
    place = grants.place(core.settings) / core.status()["held-app-1"]["id"]
    (place / "1").unlink()


RESTARTED = {
    unmount_volume: "nothing is mounted at /data",
    unmount_secret: "nothing is mounted at /run/secrets/word",
    remove_config: "what is mounted at /etc/plain was removed on the host",
    uncover_kernel: "/proc/interrupts is not hidden",
    remove_device: "its device /dev/tunnel is gone",
}
if not cgroups.is_unified():
    IN_PLACE[change_shares] = "its CPU shares are 100, not 512"
if DISK:
    IN_PLACE[lift_rate] = f"device {DISK} may have any number of bytes a second, not {2 << 20}"
if (os.cpu_count() or 1) > 1:
    IN_PLACE[widen_cpuset] = "its processors are 0-1, not 0"
if cgroups.has_file("memory", "memory.swap.max" if cgroups.is_unified() else "memory.memsw.limit_in_bytes"):
    IN_PLACE[raise_swap] = "its limit of swap is"
if "SYS_RESOURCE" in isolation.available():
    IN_PLACE |= {raise_hard_limit: "RLIMIT_NOFILE is 4096, not 1024", offer_to_oom: "oom_score_adj is 700, not 300"}
else:  # as root inside another container; how a hard limit is lowered is in tests/unit
    RESTARTED[offer_to_oom] = "oom_score_adj is 700, not 300"


def heal(core, causes, action):
    """Plan names each cause, apply heals them by that action and nothing else, the second plan is empty."""
    planned = core.call("plan", "--json")
    (step,) = planned["steps"]
    assert step["resource"]["name"] == "held-app-1"
    assert [cause for cause in causes if cause not in step["why"]] == []
    assert step["action"] == action
    done = core.call("apply", "--json")
    assert done["plan"]["steps"] == planned["steps"]
    assert core.call("plan", "--json")["steps"] == []


def test_what_a_container_lost_comes_back_without_a_restart(core):
    before = core.pids()
    for harm in IN_PLACE:
        harm(core, before["held-app-1"])
    heal(core, IN_PLACE.values(), "heal")
    assert core.pids() == before


def test_routes_that_came_with_an_address_come_back_though_it_stayed(core):
    before = core.pids()
    pid = before["held-app-1"]
    routes = ["ip", "-4", "route", "show"]
    held = subprocess.check_output(["nsenter", "-t", str(pid), "-n", *routes], text=True)
    subnets = {line.split()[2]: line.split()[0] for line in held.splitlines() if "scope link" in line}
    for subnet in subnets.values():
        in_net(pid, "ip", "route", "del", subnet)
    lost = f"it lost its route to {subnets['eth0']} on network held_front"
    heal(core, [lost, "its link to network held_back is down, or has lost its route"], "heal")
    now = subprocess.check_output(["nsenter", "-t", str(pid), "-n", *routes], text=True)
    assert sorted(now.split("\n")) == sorted(held.split("\n"))
    assert core.pids() == before


def test_what_cannot_be_put_back_inside_costs_a_restart_of_that_container_alone(core):
    before = core.pids()
    for harm in RESTARTED:
        harm(core, before["held-app-1"])
    heal(core, RESTARTED.values(), "restart")
    after = core.pids()
    assert after["held-app-1"] != before["held-app-1"]
    assert after["held-other-1"] == before["held-other-1"]


def test_a_volume_that_was_removed_is_made_again_and_whoever_has_it_is_started_anew(core):
    before = core.pids()
    shutil.rmtree(core.settings.state_root / "volumes/held_data")
    found = {step["resource"]["name"]: (step["action"], step["why"]) for step in core.call("plan", "--json")["steps"]}
    assert found == {
        "held_data": ("heal", "drift: its directory is gone"),
        "held-app-1": ("restart", "drift: what is mounted at /data was removed on the host"),
    }
    core.call("apply")
    core.call("exec", "-T", "app", "sh", "-c", "echo kept > /data/new")
    assert (core.settings.state_root / "volumes/held_data/_data/new").read_text() == "kept\n"
    assert core.pids()["held-other-1"] == before["held-other-1"]
    assert core.call("plan", "--json")["steps"] == []


def test_more_privileges_than_were_granted_are_seen(core):
    """A process cannot be given more from outside: here its record says less than the process has."""
    found = json.loads(core.query("SELECT declared FROM containers WHERE name = 'held-other-1'")[0][0])
    for change, cause in (
        ({"cap_drop": ["CHOWN"]}, "capabilities that were not granted: CHOWN"),
        ({}, None),
    ):
        text = json.dumps({**found, **change}).replace("'", "''")
        core.write(f"UPDATE containers SET declared = '{text}' WHERE name = 'held-other-1'")
        planned = core.call("plan", "--json")["steps"]
        assert [cause in step["why"] for step in planned] == ([True] if cause else [])


def test_a_layer_that_is_gone_is_unpacked_again_and_its_containers_are_made_anew(core):
    (layer,) = [path for path in (core.settings.state_root / "layers").iterdir() if path.is_dir()]
    shutil.rmtree(layer)
    found = {step["resource"]["name"]: (step["action"], step["why"]) for step in core.call("plan", "--json")["steps"]}
    assert found["held-app-1"] == ("re-create", "drift: a layer of its image is gone")
    assert set(found) == {"held-app-1", "held-other-1"}
    core.call("apply")
    assert core.call("plan", "--json")["steps"] == []
    assert core.call("exec", "-T", "app", "cat", "/etc/plain") == "one\n"
