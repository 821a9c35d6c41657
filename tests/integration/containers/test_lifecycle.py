import json
import os
import secrets
import signal
import time
from pathlib import Path

import pytest

from bayplan.errors import RuntimeFailureError
from bayplan.models import Container
from bayplan.runtime.native.containers import execute, lifecycle, logs
from bayplan.runtime.native.containers.oci import OciRuntime
from bayplan.runtime.native.containers.paths import Paths
from bayplan.runtime.native.containers.spec import Bundle, build_spec, process_environment
from bayplan.runtime.native.containers.users import resolve
from bayplan.system import cgroups, mounts
from bayplan.system.processes import find_by_argument

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]


class Core:
    """What a test drives: one container at a time, without records."""

    def __init__(self, settings, rootfs):
        self.settings, self.rootfs = settings, rootfs
        self.runtime = OciRuntime(settings)
        self.made = []

    def prepare(self, *command, **options):
        container = Container(name="t", image="busybox", command=command, network_mode="none", **options)
        container_id = secrets.token_hex(32)
        paths = Paths.of(self.settings, container_id)
        paths.run.mkdir(parents=True)
        for name in ("hosts", "hostname", "resolv.conf"):
            (paths.run / name).write_text("")
        user = resolve(container.user or "", [self.rootfs])
        environment = process_environment(container, ["FROM_IMAGE=1"], user)
        bundle = Bundle(container_id, paths.run, command, environment, container.working_dir or "/", user, None, {})
        (paths.run / "config.json").write_text(json.dumps(build_spec(container, bundle, self.settings)))
        self.made.append((container_id, paths))
        return container_id, paths

    def start(self, *command, **options):
        container_id, paths = self.prepare(*command, **options)
        return container_id, paths, lifecycle.start(self.runtime, container_id, paths, [self.rootfs])

    def exec(self, container_id, paths, *command, timeout_s=None, stdin=None, **options):
        spec = json.loads((paths.run / "config.json").read_text())
        merged = {"user": None, "environment": {}, "working_dir": None, "tty": False, **options}
        process = execute.process_file(spec, command, **merged)
        return execute.run(self.runtime, container_id, paths, process, stdin=stdin, capture=True, timeout_s=timeout_s)


@pytest.fixture
def core(settings, rootfs):
    held = Core(settings, rootfs)
    yield held
    for container_id, paths in held.made:
        lifecycle.remove(held.runtime, container_id, paths)
        assert find_by_argument(f"--cid={container_id}") == []
        assert not (held.runtime.root / container_id).exists()
        assert [top for top in cgroups.hierarchies() if (top / paths.cgroup.lstrip("/")).exists()] == []


def test_output_exit_code_and_stream_are_kept(core):
    container_id, paths, _ = core.start("/bin/sh", "-c", "echo out; echo err >&2; exit 7")
    assert lifecycle.await_exit_file(paths, container_id, 10) == 7
    lines = {(line.stream, line.text) for line in logs.read(paths.log)}
    assert lines == {("stdout", "out"), ("stderr", "err")}


def test_the_mount_is_seen_by_nobody_else_and_goes_with_the_container(core):
    _, paths, process = core.start("/bin/sleep", "60")
    assert str(paths.rootfs) not in Path("/proc/self/mounts").read_text()
    assert (Path(f"/proc/{process.pid}/root/bin/busybox")).exists()
    lifecycle.stop(process, signal.SIGKILL, 5, paths.cgroup)
    assert not process.alive


def test_stop_kills_what_ignores_its_signal(core):
    container_id, paths, process = core.start("/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done")
    while not any(logs.read(paths.log)):
        time.sleep(0.01)
    lifecycle.stop(process, signal.SIGTERM, 0.2, paths.cgroup)
    assert lifecycle.await_exit_file(paths, container_id, 10) == 137


def test_its_own_layer_keeps_what_it_wrote_and_the_image_stays(core, rootfs):
    container_id, paths, _ = core.start("/bin/sh", "-c", "echo mine > /var/file")
    assert lifecycle.await_exit_file(paths, container_id, 10) == 0
    assert (paths.upper / "var/file").read_text() == "mine\n"
    assert not (rootfs / "var/file").exists()


def test_exec_runs_inside_with_user_environment_and_deadline(core):
    """Fault row 30."""
    container_id, paths, process = core.start("/bin/sleep", "60", environment={"A": "1"})
    done = core.exec(
        container_id, paths, "/bin/sh", "-c", "echo $A$B; cat; exit 3", environment={"B": "2"}, stdin=b"in"
    )
    assert (done.exit_code, done.stdout) == (3, b"12\nin")
    user = resolve("app", [core.rootfs])
    assert core.exec(container_id, paths, "/bin/id", "-G", user=user).stdout == b"1000 2000\n"
    late = core.exec(container_id, paths, "/bin/sleep", "777", timeout_s=0.3)
    assert late.exit_code == execute.TIMED_OUT
    assert find_by_argument("777") == []
    assert process.alive


def test_defaults_keep_it_inside(core):
    script = (
        "grep -q . /dev/null; cat /proc/self/status; "
        "mount -t tmpfs x /tmp && echo MOUNTED; unshare -n true && echo UNSHARED; touch /sys/x && echo SYS; "
        "echo 1 > /proc/sys/kernel/panic && echo SYSCTL; cat /proc/kcore | head -c1; true"
    )
    container_id, paths, _ = core.start("/bin/sh", "-c", script)
    assert lifecycle.await_exit_file(paths, container_id, 10) == 0
    lines = [line.text for line in logs.read(paths.log) if line.stream == "stdout"]
    fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert fields["NoNewPrivs"] == "1"
    assert fields["Seccomp"] == "2"
    assert fields["CapInh"].strip("0") == ""
    assert int(fields["CapEff"], 16) & (1 << 13 | 1 << 21 | 1 << 27 | 1 << 29) == 0
    assert not {"MOUNTED", "UNSHARED", "SYS", "SYSCTL"} & set(lines)


def test_limits_hold(core):
    """Fault row 29."""
    script = "head -c 64m /dev/zero | /bin/busybox tail -c 60m > /dev/null; echo ended"
    _, paths, process = core.start("/bin/sh", "-c", script + "; sleep 60", resources={"memory": "16m", "pids": 20})
    while not any(logs.read(paths.log)):
        time.sleep(0.01)
    assert process.alive
    assert cgroups.was_oom_killed(paths.cgroup)


def test_a_missing_program_is_told_and_leaves_nothing(core):
    container_id, paths = core.prepare("/bin/absent")
    with pytest.raises(RuntimeFailureError, match="absent"):
        lifecycle.start(core.runtime, container_id, paths, [core.rootfs])
    assert cgroups.members(paths.cgroup) == ()


def test_removal_works_on_a_running_container_and_twice(core):
    container_id, paths, process = core.start("/bin/sleep", "60")
    for _ in range(2):
        lifecycle.remove(core.runtime, container_id, paths)
        assert not process.alive
        assert not paths.data.exists()


def test_a_dead_monitor_does_not_hinder_stop(core):
    """Fault row 2."""
    container_id, paths, process = core.start("/bin/sleep", "60")
    (monitor,) = find_by_argument(f"--cid={container_id}")
    monitor.send(signal.SIGKILL)
    assert monitor.wait(5)
    assert process.alive
    lifecycle.stop(process, signal.SIGTERM, 0.1, paths.cgroup)
    assert not process.alive


@pytest.mark.parametrize("single", [True, False], ids=["one by one", "as on kernels before 6.8"])
def test_a_hundred_layers(core, tmp_path, monkeypatch, single):
    if not single:
        monkeypatch.setattr(mounts, "_no_single_layers", [True])
    layers = [core.rootfs]
    for number in range(100):
        layer = tmp_path / f"layer-with-a-rather-long-name-{number}"
        layer.mkdir()
        (layer / f"file{number}").write_text("")
        layers.insert(0, layer)
    container_id, paths = core.prepare("/bin/sh", "-c", "ls / | cat")
    lifecycle.start(core.runtime, container_id, paths, layers)
    lifecycle.await_exit_file(paths, container_id, 10)
    assert sum(line.text.startswith("file") for line in logs.read(paths.log)) == 100


class Asked(OciRuntime):
    """Remembers what the OCI runtime was asked as a program."""

    def __init__(self, settings):
        super().__init__(settings)
        self.asked = []

    def _run(self, *arguments, feed=b""):
        self.asked.append(arguments[0])
        super()._run(*arguments, feed=feed)


def test_a_start_and_an_end_without_hooks_need_no_process_of_the_runtime(core):
    core.runtime = Asked(core.settings)
    container_id, paths, process = core.start("/bin/sleep", "60")
    assert process.alive
    lifecycle.stop(process, signal.SIGKILL, 5, paths.cgroup)
    assert lifecycle.await_exit_file(paths, container_id, 10) == 137
    lifecycle.remove(core.runtime, container_id, paths, started=True)
    assert core.runtime.asked == []
    assert not (core.runtime.root / container_id).exists()


def test_hooks_of_a_bundle_run(core, tmp_path):
    core.runtime = Asked(core.settings)
    container_id, paths = core.prepare("/bin/sleep", "60")
    spec = json.loads((paths.run / "config.json").read_text())
    said = tmp_path / "said"
    spec["hooks"] = {
        name: [{"path": "/bin/sh", "args": ["sh", "-c", f"cat > /dev/null; echo {name} >> {said}"]}]
        for name in ("poststart", "poststop")
    }
    (paths.run / "config.json").write_text(json.dumps(spec))
    process = lifecycle.start(core.runtime, container_id, paths, [core.rootfs])
    lifecycle.stop(process, signal.SIGKILL, 5, paths.cgroup)
    lifecycle.remove(core.runtime, container_id, paths, started=True)
    assert said.read_text().split() == ["poststart", "poststop"]


def test_a_container_that_died_before_its_start_is_left_to_the_runtime_to_explain(core):
    container_id, paths = core.prepare("/bin/sleep", "60")

    class Ended(Asked):
        def start(self, container_id, *, hooks=False):
            lifecycle.kill(paths.cgroup)
            super().start(container_id, hooks=hooks)

    core.runtime = Ended(core.settings)
    with pytest.raises(RuntimeFailureError, match="start failed"):
        lifecycle.start(core.runtime, container_id, paths, [core.rootfs])
    assert core.runtime.asked == ["start"]
