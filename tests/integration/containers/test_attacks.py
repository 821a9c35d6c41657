"""Attacks of the run time: what a container or its image tries, and gets nothing by."""

import base64
import io
import json
import os
import shutil
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from bayplan.errors import DeclarationError, NotFoundError, RuntimeFailureError, UnsupportedError
from bayplan.models import Container, Duration
from bayplan.models.types import CAPABILITY_NUMBERS
from bayplan.runtime.native.containers import copy, execute, seccomp, verbs
from bayplan.runtime.native.containers.crun import ANNOTATION
from bayplan.runtime.native.containers.spec import isolation
from bayplan.runtime.native.images.stored import image_config
from bayplan.system import copying
from containers import Host, proc, status_of

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
DOCKERS_14 = (
    *("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP"),
    *("NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"),
)
MOBY_MASKED = {
    *("/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats"),
    *("/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats"),
    *("/sys/devices/virtual/powercap", "/sys/firmware"),
}
"""moby, daemon/pkg/oci/defaults.go, version 29; beside them each processor's thermal_throttle."""
MOBY_READ_ONLY = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}


def test_fewer_capabilities_than_docker_and_nothing_to_inherit(host):
    assert set(DOCKERS_14) - isolation.DEFAULT_CAPABILITIES == {"NET_RAW", "MKNOD", "AUDIT_WRITE"}
    assert set(DOCKERS_14) > isolation.DEFAULT_CAPABILITIES
    made = host.start("a", "/bin/sleep", "60", user="1000")
    status = status_of(host.pid(made))
    assert [int(status[name], 16) for name in ("CapInh", "CapAmb", "CapEff", "CapPrm")] == [0, 0, 0, 0]
    assert status["NoNewPrivs"] == "1"


def test_paths_are_hidden_as_moby_s_newest_version_hides_them(host):
    hidden, read_only = isolation.guarded_paths(Container(name="a", image="b"))
    assert set(hidden) >= MOBY_MASKED
    assert set(read_only) >= MOBY_READ_ONLY
    script = "for f in /proc/kcore /proc/keys /proc/interrupts /proc/timer_list; do cat $f 2>/dev/null; done; echo end"
    assert host.output("a", script) == ["end"]


def test_the_cgroup_tree_cannot_be_written(host):
    made = host.start("a", "/bin/sleep", "60")
    rows = [line.split() for line in proc(host.pid(made), "mounts").read_text().splitlines()]
    found = {row[1]: row[3].split(",") for row in rows if row[2] in ("cgroup", "cgroup2", "sysfs")}
    assert found
    assert [path for path, options in found.items() if options[0] != "ro"] == []


def run(host, made):
    host.containers.start(made, None, {})
    host.containers.wait(made, "service_completed_successfully", Duration(seconds=20))


def test_a_filter_that_cannot_be_loaded_ends_the_start(host, monkeypatch):
    broken = base64.b64encode(b"\xff" * 16).decode()
    monkeypatch.setattr(seccomp, "filter_for", lambda *_, **__: broken)
    made = host.create("a", "/bin/echo", "ran")
    with pytest.raises(RuntimeFailureError):
        run(host, made)
    assert "ran" not in [line.text for line in host.containers.logs(made)]


def test_no_descriptor_of_the_host_is_open_inside(host):
    """CVE-2024-21626: a descriptor of the host's, left open, is a way out; at the start and in an exec."""
    script = "for f in /proc/self/fd/*; do busybox readlink $f; done"
    made = host.start("a", "/bin/sh", "-c", f"busybox sh -c '{script}'; exec sleep 60")
    while len(list(host.containers.logs(made))) < 3:
        pass
    links = [os.readlink(item) for item in proc(host.pid(made), "fd").iterdir()]  # noqa: PTH115 - no paths
    assert [item for item in links if not item.startswith(("pipe:", "/dev/null"))] == []
    done = host.containers.exec(made, ["/bin/sh", "-c", script])
    seen = done.stdout.decode().split()
    assert [item for item in seen if not item.startswith(("pipe:", "/dev/null", "/proc/"))] == []


@pytest.mark.parametrize("number", [3, 7, 8, 9])
def test_a_working_directory_at_a_descriptor_leads_nowhere(host, number):
    """CVE-2024-21626: WORKDIR /proc/self/fd/N."""
    made = host.create("a", "/bin/sh", "-c", "pwd; ls ../../.. 2>&1", working_dir=f"/proc/self/fd/{number}")
    with suppress(RuntimeFailureError):
        run(host, made)
    names = {line.text for line in host.containers.logs(made)}
    assert not names & {item.name for item in Path("/var/lib").iterdir()}


def test_labels_and_annotations_of_an_image_never_reach_the_runtime(host):
    """What an image says is data: run.oci.* would have crun load files, hooks and handlers of its choice."""
    raw = {"Labels": {"run.oci.handler": "wasm", "run.oci.hooks.stdout": "/x"}, "Annotations": {"run.oci.handler": "x"}}
    image = image_config(raw)
    made = host.create("a", "/bin/true", image=image, labels={"run.oci.keep_original_groups": "1"})
    config = json.loads(host.containers.records.bundle(made)["config"])
    assert [name for name in config["annotations"] if name != ANNOTATION] == []
    with pytest.raises(ValueError, match="would change the runtime itself"):
        Container(name="a", image="b", annotations={"run.oci.handler": "wasm"})
    with pytest.raises(ValueError, match="would change the runtime itself"):
        Container(name="a", image="b", annotations={"org.systemd.property.X": "1"})


def _swap(host, made, name, make):
    """Put something else in the place of a file of the container's, as a program in it would."""
    path = host.containers._paths(made).upper / "etc" / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    make(path)


@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        lambda path: path.symlink_to("/etc/passwd"),
        lambda path: path.mkdir(),
        lambda path: os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5)),
        lambda path: path.write_text("app:x:99999999999:0::/:/bin/sh\n"),
        lambda path: path.write_bytes(b"\0" * (64 << 20)),
    ],
    ids=["fifo", "link", "directory", "device", "number", "huge"],
)
def test_users_are_looked_up_by_us_and_in_files_only(host, make):
    """A FIFO would hold us, a link would name the host's users, a device or a huge file would fill our memory."""
    made = host.start("a", "/bin/sleep", "60")
    _swap(host, made, "passwd", make)
    with pytest.raises((NotFoundError, DeclarationError)):
        host.containers.exec(made, ["/bin/id"], user="app")
    assert host.containers.exec(made, ["/bin/id", "-u"], user="1000:1000").stdout == b"1000\n"


def test_a_group_file_beyond_all_measure(host):
    made = host.start("a", "/bin/sleep", "60")
    _swap(host, made, "group", lambda path: path.write_text("".join(f"g{n}:x:{n}:app\n" for n in range(200_000))))
    done = host.containers.exec(made, ["/bin/sh", "-c", "id -u"], user="app")
    assert (done.exit_code, done.stdout) in ((0, b"1000\n"), (126, b""))


def test_directories_without_end_are_removed_and_not_copied(host):
    """What a container has made deeper than any path is long must not stay for ever (``shutil.rmtree`` gives up)."""
    made = host.start("a", "/bin/sleep", "60")
    fd = os.open(host.containers._paths(made).upper, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(2000):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    with pytest.raises(UnsupportedError, match="directories deep"):
        copy.with_root(host.containers, made, "/d", lambda root: copying.read(root, "/d", io.BytesIO()), {})
    host.containers.delete(made)
    host.containers.runtime.discarded.settle()
    assert list(host.settings.state_root.rglob("d")) == []


@pytest.mark.parametrize("name", ["SIGBOGUS", "99", "-1", "0", "9" * 5000, "\u00b2"])
def test_an_image_with_an_impossible_stop_signal_can_be_stopped(host, name):
    made = host.start("a", "/bin/sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.05; done", image=_stopped_by(name))
    with pytest.raises(UnsupportedError, match="unknown signal"):
        verbs.kill(host.containers, made, name)
    _await_trap(host, made)
    host.containers.stop(made, Duration(hours=1000))
    assert host.containers.status(made).exit_code == 3


def _stopped_by(name):
    return image_config({"StopSignal": name})


def _await_trap(host, made):
    process = host.containers.process(made)
    while not process.catches(15):
        pass


def test_a_stranger_that_has_the_pid_of_an_ended_command_is_not_killed(host, tmp_path):
    """Fault row 9."""
    made = host.start("a", "/bin/sleep", "60")
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        try:
            (tmp_path / "pid").write_text(str(stranger.pid))
            execute.kill(tmp_path / "pid", host.containers._paths(made).cgroup)
            assert stranger.poll() is None
        finally:
            stranger.kill()


@pytest.mark.parametrize("name", ["dev", "proc", "sys"])
@pytest.mark.parametrize("kind", ["outside", "inside", "file"])
def test_a_root_file_system_with_a_link_for_dev_proc_or_sys_is_refused(settings, rootfs, tmp_path, name, kind):
    """Old runtimes made their device nodes where the link leads."""
    canary, top = tmp_path / "canary", tmp_path / "root"
    canary.mkdir()
    shutil.copytree(rootfs, top, symlinks=True)
    (top / name).rmdir()
    if kind == "file":
        (top / name).touch()
    else:
        (top / name).symlink_to(canary if kind == "outside" else "/var")
    other = Host(settings, top)
    try:
        made = other.create("a", "/bin/echo", "ran")
        with pytest.raises(UnsupportedError, match=f"/{name} of its image is no directory"):
            other.containers.start(made, None, {})
        assert list(other.containers.logs(made)) == []
    finally:
        other.close()
    assert list(canary.iterdir()) == []


def test_an_exec_holds_no_more_than_the_container(host):
    """The same filter, no new privileges, the same few capabilities, nothing inheritable; for root and for others."""
    made = host.start("a", "/bin/sleep", "60")
    first = status_of(host.pid(made))
    names = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
    held = sum(1 << CAPABILITY_NUMBERS.index(name) for name in isolation.DEFAULT_CAPABILITIES)
    few = f"{held & int(status_of(os.getpid())['CapBnd'], 16):016x}"
    assert [first[name] for name in names] == ["0" * 16, few, few, few, "0" * 16, "1", "2"]
    for user, own in ((None, few), ("1000", "0" * 16)):
        done = host.containers.exec(made, ["/bin/cat", "/proc/self/status"], user=user)
        found = dict(line.split(":\t", 1) for line in done.stdout.decode().splitlines() if ":\t" in line)
        assert [found[name] for name in names] == ["0" * 16, own, own, few, "0" * 16, "1", "2"]


@pytest.mark.parametrize("directory", ["/proc/self/fd/7", "../../../proc/self/fd/7", "proc/self/fd/3"])
def test_an_exec_s_directory_at_a_descriptor_leads_nowhere(host, directory):
    """CVE-2024-21626: exec --workdir /proc/self/fd/N."""
    made = host.start("a", "/bin/sleep", "60")
    with suppress(RuntimeFailureError):
        done = host.containers.exec(made, ["/bin/sh", "-c", "ls ../../.."], working_dir=directory)
        assert not set(done.stdout.decode().split()) & {item.name for item in Path("/var/lib").iterdir()}


def test_an_exec_s_relative_directory_is_below_the_container_s(host):
    made = host.start("a", "/bin/sleep", "60", working_dir="/var")
    for directory, found in (("../tmp", "/tmp"), (".", "/var"), ("/etc/../tmp", "/tmp"), ("../../..", "/")):
        done = host.containers.exec(made, ["/bin/sh", "-c", "pwd"], working_dir=directory)
        assert done.stdout.decode().strip() == found


def test_volumes_have_no_effect_of_set_user_id_bits(host, tmp_path):
    mount = {"type": "volume", "source": "v", "target": "/data"}
    made = host.start("a", "/bin/sleep", "60", volumes={"v": tmp_path}, mounts=(mount,))
    rows = [line.split() for line in proc(host.pid(made), "mounts").read_text().splitlines()]
    assert ["nosuid" in row[3].split(",") for row in rows if row[1] == "/data"] == [True]


@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        lambda path: path.symlink_to("/etc/group"),
        lambda path: path.mkdir(),
        lambda path: path.write_text("extra:x:99999999999:\n"),
        lambda path: path.write_text("extra:x:\u00b2:\n"),
        lambda path: path.write_bytes(b"\0" * (64 << 20)),
    ],
    ids=["fifo", "link", "directory", "number", "digit", "huge"],
)
def test_groups_are_looked_up_by_us_and_in_files_only(host, make):
    made = host.start("a", "/bin/sleep", "60")
    _swap(host, made, "group", make)
    with pytest.raises(NotFoundError):
        host.containers.exec(made, ["/bin/id"], user="1000:extra")
    assert host.containers.exec(made, ["/bin/id", "-g"], user="1000:1000").stdout == b"1000\n"


def test_users_that_the_container_has_hidden_are_not_found(host):
    """An opaque /etc shows nothing of the image's: the overlay's marks are heeded as the kernel does."""
    made = host.start("a", "/bin/sleep", "60")
    etc = host.containers._paths(made).upper / "etc"
    etc.mkdir(exist_ok=True)
    os.setxattr(etc, "trusted.overlay.opaque", b"y")
    with pytest.raises(NotFoundError):
        host.containers.exec(made, ["/bin/id"], user="app")
