"""What a plan warns of."""

from __future__ import annotations

from typing import Any

import pytest

from bayplan.models import Container, Network, Volume
from bayplan.reconcile.risks import risks_of


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"privileged": True}, "can control the host"),
        ({"cap_add": ("SYS_ADMIN",)}, "SYS_ADMIN"),
        ({"network_mode": "host"}, "host's network"),
        ({"pid": "host"}, "host's processes"),
        ({"ipc": "host"}, "host's shared memory"),
        ({"uts": "host"}, "host's name"),
        ({"cgroup": "host"}, "host's cgroups"),
        ({"security_opt": ("seccomp=unconfined",)}, "seccomp=unconfined takes a protection away"),
        ({"security_opt": ("systempaths=unconfined",)}, "systempaths=unconfined"),
        ({"security_opt": ("unmask=ALL",)}, "unmask=ALL"),
        ({"security_opt": ("no-new-privileges:false",)}, "no-new-privileges:false"),
        ({"security_opt": ("no-new-privileges=false",)}, "no-new-privileges=false"),
        ({"security_opt": ("apparmor=unconfined",)}, "apparmor=unconfined"),
        ({"security_opt": ("unmask=/proc/kcore:/proc/keys",)}, "unmask=/proc/kcore"),
        ({"security_opt": ("label=disable",)}, "label=disable"),
        ({"cap_add": ("CAP_SYS_RAWIO",)}, "SYS_RAWIO"),
        ({"cap_add": ("all",)}, "ALL"),
        ({"devices": ({"source": "/dev/sda", "target": "/dev/sda"},)}, "device /dev/sda"),
        ({"device_cgroup_rules": ("c 1:3 rwm",)}, "devices c 1:3 rwm"),
        ({"mounts": ({"type": "bind", "source": "/", "target": "/h"},)}, "bind of /"),
        (
            {"mounts": ({"type": "bind", "source": "/run/docker.sock", "target": "/s"},)},
            "bind of /run/docker.sock",
        ),
        ({"mounts": ({"type": "bind", "source": "/run/podman/podman.sock", "target": "/s"},)}, "control of the host"),
        ({"mounts": ({"type": "bind", "source": "/etc", "target": "/e"},)}, "bind of /etc gives control"),
        ({"mounts": ({"type": "bind", "source": "/etc", "target": "/e", "read_only": True},)}, "host's own files"),
        ({"cdi_devices": ("vendor.com/gpu=all",)}, "device vendor.com/gpu=all"),
        ({"mounts": ({"type": "bind", "source": "/x", "target": "/x", "propagation": "rshared"},)}, "pass to the host"),
    ],
)
def test_lost_isolation_is_told(options: dict[str, Any], part: str) -> None:
    (risk,) = risks_of(Container.model_validate({"name": "a", "image": "x", **options}))
    assert part in risk


def test_a_volume_that_is_the_host_s_root_is_told() -> None:
    options = {"type": "none", "o": "bind", "device": "/"}
    assert list(risks_of(Volume(name="v", driver_opts=options))) == ["isolation: bind of / gives control of the host"]
    assert list(risks_of(Volume(name="v"))) == []


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"o": "bind", "device": "//"}, "bind of // gives control"),
        ({"o": "rbind,ro", "device": "/etc/../etc/"}, "shows the host's own files"),
        ({"o": "bind", "device": "//var/run/docker.sock"}, "gives control"),
        ({"type": "ext4", "device": "/dev/sda1"}, "mounts ext4 /dev/sda1 of the host"),
        ({"type": "overlay", "o": "lowerdir=/", "device": "overlay"}, "mounts overlay overlay of the host"),
        ({"type": "proc", "device": "proc"}, "mounts proc proc of the host"),
        ({"device": "/dev/sda1"}, "mounts /dev/sda1 of the host"),
    ],
)
def test_a_volume_that_is_a_part_of_the_host_is_told(options: dict[str, str], part: str) -> None:
    (risk,) = risks_of(Volume(name="v", driver_opts=options))
    assert part in risk


def test_a_share_and_memory_are_no_parts_of_the_host() -> None:
    for options in ({"type": "nfs", "o": "addr=192.0.2.9", "device": ":/x"}, {"type": "tmpfs", "device": "tmpfs"}):
        assert list(risks_of(Volume(name="v", driver_opts=options))) == []


def test_the_usual_one_has_none() -> None:
    assert list(risks_of(Container(name="a", image="x"))) == []


def test_a_network_whose_containers_may_lie_is_a_risk() -> None:
    assert list(risks_of(Network(name="n"))) == []
    assert "bayplan.source_check" in next(risks_of(Network(name="n", source_check=False)))


def test_a_port_on_every_address_is_shown_as_an_exposure() -> None:
    """Attack row Network: the plan shows the default, which bypasses the host's firewall."""

    def said(**port: object) -> list[str]:
        return list(risks_of(Container.model_validate({"name": "c", "image": "x", "ports": [{"target": 80, **port}]})))

    assert said(published=8080) == ["exposure: port 8080/tcp is open on every address of the host"]
    assert said(published=8080, host_ip="0.0.0.0") == said(published=8080)
    assert said() == ["exposure: a port that the host chooses is open on every address of the host"]
    assert said(published=8080, host_ip="127.0.0.1") == []
