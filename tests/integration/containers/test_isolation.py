"""Security options, devices and kernel settings: what the kernel says of a running container, and what is refused."""

import json
import os
from pathlib import Path

import pytest

from bayplan.errors import BayplanError
from bayplan.models import Container
from bayplan.models.types import CAPABILITIES
from bayplan.runtime.native.containers.spec import isolation
from bayplan.runtime.native.options import check_options
from containers import proc, status_of

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
NUMBERS = {"CHOWN": 0, "DAC_OVERRIDE": 1, "NET_ADMIN": 12, "NET_RAW": 13, "SYS_ADMIN": 21, "SETFCAP": 31}


def held(host, made):
    bits = int(status_of(host.pid(made))["CapBnd"], 16)
    return {name for name, number in NUMBERS.items() if bits >> number & 1}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"CHOWN", "DAC_OVERRIDE", "SETFCAP"}),
        ({"cap_add": ("NET_ADMIN",), "cap_drop": ("CHOWN",)}, {"NET_ADMIN", "DAC_OVERRIDE", "SETFCAP"}),
        ({"cap_drop": ("ALL",)}, set()),
        ({"cap_drop": ("ALL",), "cap_add": ("CAP_CHOWN",)}, {"CHOWN"}),
        ({"cap_add": ("ALL",), "cap_drop": ("SYS_ADMIN",)}, set(NUMBERS) - {"SYS_ADMIN"}),
    ],
)
def test_capabilities(host, options, expected):
    made = host.start("a", "/bin/sleep", "60", **options)
    assert held(host, made) == {name for name in expected if name in isolation.available()}
    assert int(status_of(host.pid(made))["CapInh"], 16) == 0


def test_a_privileged_one_has_everything_and_the_host_s_devices(host):
    made = host.start("a", "/bin/sleep", "60", privileged=True)
    status = status_of(host.pid(made))
    assert held(host, made) == {name for name in NUMBERS if name in isolation.available()}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("0", "0")
    assert len(CAPABILITIES) >= 41
    own = {path.name for path in Path("/dev").iterdir() if path.is_block_device()}
    inside = {path.name for path in proc(host.pid(made), "root/dev").iterdir() if path.is_block_device()}
    assert inside == own


def test_the_usual_one_is_filtered_and_gains_no_privileges(host):
    made = host.start("a", "/bin/sleep", "60")
    assert (status_of(host.pid(made))["NoNewPrivs"], status_of(host.pid(made))["Seccomp"]) == ("1", "2")
    other = host.start("b", "/bin/sleep", "60", security_opt=("no-new-privileges:false", "seccomp=unconfined"))
    assert (status_of(host.pid(other))["NoNewPrivs"], status_of(host.pid(other))["Seccomp"]) == ("0", "0")


def test_a_profile_in_docker_s_form(host, tmp_path):
    profile = tmp_path / "profile.json"
    rules = [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
        {"names": ["sethostname"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_NET_ADMIN"]}},
        {"names": ["no_such_call"], "action": "SCMP_ACT_ERRNO"},
        {
            "names": ["socket"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": 97,
            "args": [{"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}],
        },
        {"names": ["chmod"], "action": "SCMP_ACT_ERRNO", "includes": {"minKernel": "99.0"}},
    ]
    archs = [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}]
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "archMap": archs, "syscalls": rules}))
    script = "mkdir /tmp/x 2>&1; touch /tmp/y && /bin/busybox chmod 600 /tmp/y && echo well; "
    script += "/bin/busybox nc -w 1 127.0.0.1 9 2>&1"
    out = host.output(
        "a", f"{script}; true".replace("mkdir", "/bin/busybox mkdir"), security_opt=(f"seccomp={profile}",)
    )
    assert "No space left on device" in out[0]
    assert out[1] == "well"
    assert "Address family not supported" in out[2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not json", "not a seccomp profile"),
        ('{"defaultAction": "SCMP_ACT_MAYBE"}', "unknown action"),
        ("[]", "not a seccomp profile"),
    ],
)
def test_a_broken_profile_is_refused_before_any_change(tmp_path, text, message):
    profile = tmp_path / "profile.json"
    profile.write_text(text)
    with pytest.raises(BayplanError, match=message):
        check_options(Container(name="a", image="x", security_opt=(f"seccomp={profile}",)), tmp_path)


def guarded(host, name, **options):
    """Paths below /proc and /sys that are mounted over, and those of them that are read-only."""
    made = host.start(name, "/bin/sleep", "60", **options)
    rows = [line.split() for line in proc(host.pid(made), "mounts").read_text().splitlines()]
    found = {row[1]: row[3].split(",")[0] for row in rows if row[1].startswith(("/proc/", "/sys/", "/etc/passwd"))}
    return set(found), {path for path, mode in found.items() if mode == "ro"}


def test_hidden_and_read_only_paths_and_the_switches_for_them(host):
    usual, read_only = guarded(host, "a")
    assert {"/proc/acpi", "/proc/keys", "/sys/firmware"} <= usual
    assert {"/proc/sys", "/proc/fs"} <= read_only
    assert not guarded(host, "b", security_opt=("systempaths=unconfined",))[0] & {"/proc/acpi", "/proc/sys"}
    paths, _ = guarded(host, "c", security_opt=("unmask=/proc/sys:/proc/keys", "mask=/etc/passwd"))
    assert {"/proc/acpi", "/etc/passwd"} <= paths
    assert not paths & {"/proc/sys", "/proc/keys"}
    assert not guarded(host, "d", privileged=True)[0] & {"/proc/acpi", "/proc/sys"}


def test_a_read_only_root(host):
    out = host.output("a", "touch /x 2>&1; touch /dev/shm/y && echo shm", read_only=True)
    assert "Read-only file system" in out[0]
    assert out[1] == "shm"


@pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="needs /dev/fuse")
def test_devices_by_path_and_by_rule(host, tmp_path):
    log = tmp_path / "log"
    os.mknod(log, 0o20640, os.makedev(10, 229))
    os.chown(log, 0, 5)
    given = ({"source": str(log), "target": "/dev/mine/log", "permissions": "r"},)
    script = "stat -c %t:%T:%a:%g /dev/mine/log; head -c 0 /dev/mine/log && echo read; touch /dev/mine/log"
    script += "; (echo x > /dev/mine/log) 2>/dev/null || echo ro"
    assert host.output("a", script, devices=given) == ["a:e5:640:5", "read", "ro"]
    make = "mknod /dev/x c 10 229 && head -c 0 /dev/x && echo usable"
    options = {"cap_add": ("MKNOD",), "device_cgroup_rules": ("c 10:229 rwm",)}
    assert host.output("b", f"{make} 2>&1", **options)[-1] == "usable"
    assert "not permitted" in host.output("c", f"{make} 2>&1; true", cap_add=("MKNOD",))[0]


def test_kernel_settings_of_its_namespaces(host):
    given = {"net.ipv4.ip_unprivileged_port_start": "80", "kernel.shmmni": "123"}
    script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shmmni"
    before = Path("/proc/sys/kernel/shmmni").read_text()
    assert host.output("a", script, sysctls=given) == ["80", "123"]
    assert Path("/proc/sys/kernel/shmmni").read_text() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sysctls": {"vm.swappiness": "1"}}, "would change the whole host"),
        ({"sysctls": {"net.ipv4.ip_forward": "1"}, "network_mode": "host"}, "the network is shared"),
        ({"sysctls": {"kernel.shmmax": "1"}, "ipc": "host"}, "would be that of ipc host"),
        ({"security_opt": ("apparmor=profile",)}, "no AppArmor"),
        ({"security_opt": ("label=type:x",)}, "SELinux|not built"),
        ({"security_opt": ("nonsense",)}, "unknown security option"),
        ({"security_opt": ("seccomp=/no/such/file",)}, "cannot be read"),
        ({"devices": ({"source": "/dev/no-such", "target": "/dev/x"},)}, "/dev/no-such is not there"),
        ({"cap_add": ("SYS_RESOURCE",)}, "capability SYS_RESOURCE is not this host's to give"),
        ({"init": True, "pid": "host"}, "PID namespace of its own"),
    ],
)
def test_what_this_host_cannot_honour_is_refused(tmp_path, options, message):
    if message == "no AppArmor" and Path("/sys/module/apparmor").is_dir():
        pytest.skip("this host has AppArmor")
    if "cap_add" in options and "SYS_RESOURCE" in isolation.available():
        pytest.skip("this host has it")
    with pytest.raises(BayplanError, match=message):
        check_options(Container(name="a", image="x", **options), tmp_path)
