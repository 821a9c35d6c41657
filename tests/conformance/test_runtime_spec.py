"""Every config.json that the core writes holds to the schema of the runtime specification."""

import json
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from bayplan.models import Container, Settings
from bayplan.runtime.native.containers import resolver
from bayplan.runtime.native.containers.spec import Bundle, build_spec
from bayplan.runtime.native.containers.users import User
from conformance.schemas import faults

OPTIONS = {
    "plain": {},
    "privileged": {"privileged": True},
    "unconfined": {"security_opt": ["seccomp=unconfined", "no-new-privileges:false"]},
    "capabilities": {"cap_add": ["NET_ADMIN", "SYS_PTRACE"], "cap_drop": ["CHOWN"]},
    "read-only": {"read_only": True, "working_dir": "/srv", "user": "1000"},
    "limits": {
        "resources": {"memory": "64m", "memory_reservation": "32m", "cpus": 0.5, "cpu_shares": 512, "pids": 50},
        "ulimits": {"nofile": {"soft": 100, "hard": 200}, "core": {"soft": 0, "hard": -1}},
        "shm_size": "8m",
    },
    "mounts": {
        "mounts": [
            {"type": "volume", "source": "v", "target": "/data", "read_only": True},
            {"type": "bind", "source": "/tmp", "target": "/host"},
            {"type": "tmpfs", "target": "/cache", "size": "1m", "mode": 0o700},
        ]
    },
    "settings": {"sysctls": {"net.ipv4.ip_unprivileged_port_start": "0"}, "hostname": "here", "group_add": ["44"]},
    "host network": {"network_mode": "host"},
    "no network": {"network_mode": "none"},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("joined", [True, False])
def test_a_container(tmp_path, options, joined):
    container = Container(name="c", image="i", environment={"A": "1"}, **options)
    settings = Settings(state_root=tmp_path / "s", run_root=tmp_path / "r")
    user = User(1000, 1000, (44,), "/home/app")
    run = tmp_path / "run"
    run.mkdir()
    bundle = Bundle("0" * 64, run, ("sleep", "1"), ("A=1",), "/", user, None, {"v": tmp_path})
    config = json.dumps(build_spec(container, bundle, settings))
    netns = Path("/proc/1/fd/9") if joined and not container.network_mode else None
    resolver.write(run, config, netns, resolver.Told("c", {"n": "10.0.0.2"}, IPv4Address("10.0.0.1")))
    written = json.loads((run / "config.json").read_text())
    assert faults("runtime-spec", "config-schema.json", written) == []
    networks = [item for item in written["linux"]["namespaces"] if item["type"] == "network"]
    assert networks == ([{"type": "network", "path": str(netns)}] if netns else networks)


def test_a_fault_is_found():
    assert faults("runtime-spec", "config-schema.json", {"ociVersion": 1})
