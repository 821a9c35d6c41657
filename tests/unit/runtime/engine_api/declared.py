"""Containers with any options, for the tests of the table."""

from hypothesis import strategies as st

from bayplan.models import Container

SAMPLES = {
    "command": [[], ["sleep", "600"], ["sh"]],
    "entrypoint": [[], ["run"]],
    "environment": [{"B": "1", "C": "x=y"}, {"A": "image"}, {"A": "other"}],
    "working_dir": ["/", "/w"],
    "user": ["0", "root", "1:2"],
    "group_add": [["5", "app"]],
    "hostname": ["here"],
    "domainname": ["example"],
    "labels": [{"a": "b"}, {"of": "image"}, {"of": "other"}, {"io.bayplan.managed": "true"}],
    "annotations": [{"a.b": "c"}],
    "ports": [
        [{"target": 80}],
        [{"target": 80, "published": 8080}, {"target": 80, "published": 8081, "host_ip": "127.0.0.1"}],
        [{"target": 53, "published": 53, "protocol": "udp"}, {"target": 9, "published": 9000, "last": 9010}],
        [{"target": 80, "published": 80, "host_ip": "::"}],
    ],
    "expose": [["80"], ["90/udp"]],
    "publish_all_ports": [True],
    "volumes_from": [["other:ro"]],
    "mounts": [
        [{"type": "volume", "source": "vol", "target": "/v"}, {"type": "volume", "source": "more", "target": "/i"}],
        [{"type": "volume", "source": "vol", "target": "/v", "nocopy": True, "read_only": True}],
        [{"type": "bind", "source": "/h", "target": "/h"}, {"type": "bind", "source": "/r", "target": "/r"}],
        [{"type": "bind", "source": "/h", "target": "/h", "create_host_path": True, "propagation": "rslave"}],
        [{"type": "bind", "source": "/h", "target": "/h", "read_only": True, "recursive": "disabled"}],
        [{"type": "tmpfs", "target": "/t"}],
        [{"type": "tmpfs", "target": "/t", "size": "1m", "mode": 0o700, "uid": 5, "gid": 6, "noexec": True}],
        [{"type": "tmpfs", "target": "/t", "read_only": True}],
    ],
    "networks": [
        [{"network": "n"}],
        [{"network": "z", "aliases": ["w", "a"]}, {"network": "b", "ipv4_address": "10.99.0.9"}],
        [{"network": "n", "ipv6_address": "fd00::9", "mac_address": "02:00:00:00:00:09"}],
        [{"network": "n", "link_local_ips": ["169.254.1.1"]}],
    ],
    "network_mode": ["none", "host"],
    "extra_hosts": [{"a": "1.2.3.4,1.2.3.5", "b": "fd00::1"}, {"h": "host-gateway"}],
    "dns": [["1.1.1.1", "fd00::1"]],
    "dns_search": [["."], ["a.b", "c"]],
    "dns_opt": [["ndots:2"]],
    "restart": [{"condition": "always"}, {"condition": "on-failure", "max_retries": 3}, {"condition": "no"}],
    "healthcheck": [
        {"test": ["NONE"]},
        {"test": ["CMD-SHELL", "true"], "interval": "5s", "retries": 2},
        {"interval": "1m30s"},
        {"test": ["CMD", "look"], "timeout": "1500ms", "start_period": "2s"},
    ],
    "resources": [
        {"memory": "64m"},
        {"memory": "64m", "memory_swap": "64m"},
        {"memory": "64m", "memory_swap": "128m", "memory_reservation": "32m", "memory_swappiness": 0},
        {"memory": "64m", "memory_swap": -1, "oom_kill_disable": True},
        {"cpus": 0.25, "cpu_shares": 512, "cpuset": "0-1", "cpuset_mems": "0", "pids": 100},
        {"cpu_quota": 50000, "cpu_period": 100000, "pids": -1},
        {"blkio": {"weight": 100, "read_bps": [{"path": "/dev/vda", "rate": "1m"}]}},
        {"blkio": {"weight_device": [{"path": "/dev/vda", "weight": 20}]}},
    ],
    "ulimits": [{"nofile": {"soft": 100, "hard": 200}, "core": {"soft": -1, "hard": -1}}],
    "cap_add": [["NET_ADMIN", "CAP_SYS_TIME"], ["ALL"]],
    "cap_drop": [["ALL"], ["CHOWN"]],
    "privileged": [True],
    "read_only": [True],
    "security_opt": [
        ["no-new-privileges"],
        ["no-new-privileges:true", "seccomp=unconfined"],
        ["systempaths=unconfined", "apparmor=unconfined"],
        ["no-new-privileges:false"],
    ],
    "devices": [[{"source": "/dev/null", "target": "/dev/x", "permissions": "wr"}]],
    "device_cgroup_rules": [["c 1:3 rwm"]],
    "cdi_devices": [["vendor.com/class=one"]],
    "pid": ["host"],
    "ipc": ["private", "shareable", "host", "none"],
    "uts": ["host"],
    "cgroup": ["private", "host"],
    "userns_mode": ["host"],
    "sysctls": [{"net.ipv4.ip_forward": "0"}],
    "shm_size": ["64m", "10m"],
    "init": [True],
    "tty": [True],
    "stdin_open": [True],
    "stdin_once": [True],
    "logging": [
        {"driver": "k8s-file"},
        {"driver": "k8s-file", "max_size": "10m", "max_file": 3},
        {"driver": "journald", "tag": "t"},
        {"driver": "none"},
    ],
    "oom_score_adj": [-5, 0, 500],
    "stop_signal": ["SIGTERM", "TERM", "15", "SIGQUIT"],
    "stop_grace_period": ["10s", "1s", "1500ms", "2m"],
    "runtime": ["runc", "crun"],
    "cgroup_parent": ["/parent"],
    "storage_opt": [{"size": "10g"}],
    "depends_on": [[{"service": "db"}]],
    "update_config": [{"order": "start-first", "monitor": "2s", "rollback": {"parallelism": 0}}],
    "secrets": [[{"source": "s", "target": "/run/secrets/s", "fingerprint": "f"}]],
    "configs": [[{"source": "c", "target": "/c", "mode": 0o400, "fingerprint": "f"}]],
    "post_start": [[{"command": ["true"]}]],
    "pre_stop": [[{"command": ["true"]}]],
    "service": ["web"],
}
"""Field of ``Container`` to values that are written in different ways."""
_CLASHES = (
    ({"networks", "ports", "publish_all_ports"}, "network_mode"),
    ({"hostname", "domainname"}, "uts"),
)


def container(**values):
    """One container."""
    return Container.model_validate({"name": "one", "image": "lab/busybox", **values})


@st.composite
def containers(draw):
    """Any number of options at the same time, as far as they go together."""
    fields = draw(st.lists(st.sampled_from(sorted(SAMPLES)), unique=True))
    values = {name: draw(st.sampled_from(SAMPLES[name])) for name in fields}
    for others, name in _CLASHES:
        if name in values and others & values.keys():
            del values[name]
    if values.get("ipc") in ("host", "none"):
        values.pop("shm_size", None)
    return container(**values)
