import os
import secrets
import time
from pathlib import Path

import pytest

from bayplan.errors import ConflictError, NotFoundError, RuntimeFailureError
from bayplan.models import Container, Duration, Volume
from bayplan.runtime.native.containers.containers import Containers
from bayplan.runtime.native.containers.resolver import inside
from bayplan.runtime.native.images.stored import ImageConfig
from bayplan.runtime.native.state.database import Database
from bayplan.runtime.native.volumes.volumes import Volumes
from bayplan.runtime.protocol import State
from bayplan.system import cgroups, namespaces

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
SLEEP = ("/bin/sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done")


class Core:
    def __init__(self, settings, rootfs):
        self.database = Database(settings.state_root / "records.sqlite")
        self.containers = Containers(settings, self.database)
        self.volumes = Volumes(settings, self.database)
        self.rootfs = rootfs

    def create(self, name, *command, image=None, **options):
        container = Container(name=name, image="busybox", command=command, network_mode="none", **options)
        container_id = secrets.token_hex(32)
        paths = {item.source: self.volumes.path(item.source) for item in container.mounts}
        self.containers.reserve(container_id, container, "p", "sha256:0")
        self.containers.create(container_id, image or ImageConfig(), (self.rootfs,), paths)
        return container_id


@pytest.fixture
def core(settings, rootfs):
    held = Core(settings, rootfs)
    yield held
    for row in held.database.query("SELECT id FROM containers"):
        held.containers.delete(row["id"])
    held.database.close()


def ready(core, container_id):
    while not any(core.containers.logs(container_id)):
        time.sleep(0.01)


def test_life_from_created_to_gone(core):
    made = core.create("a", *SLEEP)
    assert core.containers.status(made).state is State.CREATED
    for _ in range(2):
        core.containers.start(made, None, {})
    ready(core, made)
    (seen,) = core.containers.observe("p")
    assert (seen.handle, seen.status.state, seen.project) == (made, State.RUNNING, "p")
    for _ in range(2):
        core.containers.stop(made)
    status = core.containers.status(made)
    assert (status.state, status.exit_code) == (State.EXITED, 5)
    core.containers.start(made, None, {})
    assert core.containers.status(made).state is State.RUNNING
    for _ in range(2):
        core.containers.delete(made)
    assert core.containers.observe("p") == []


def test_a_container_without_networks_does_not_see_the_hosts(core):
    made = core.create("a", "/bin/sleep", "60")
    core.containers.start(made, None, {})
    inside = Path(f"/proc/{core.containers.status(made).pid}/ns/net").readlink()
    assert inside != Path("/proc/self/ns/net").readlink()


def test_a_start_that_was_killed_before_its_pid_was_recorded_is_replaced(core):
    made = core.create("a", "/bin/sleep", "60")
    core.containers.start(made, None, {})
    first = core.containers.status(made).pid
    core.containers.records.set(made, pid=None)
    core.containers.start(made, None, {})
    assert core.containers.status(made).pid != first
    assert len(cgroups.members(core.containers._paths(made).cgroup)) == 1


def test_waiting_for_an_end_for_health_and_for_what_never_comes(core):
    ended = core.create("ended", "/bin/true")
    core.containers.start(ended, None, {})
    assert core.containers.wait(ended, "service_completed_successfully", Duration(seconds=20)).exit_code == 0
    failed = core.create("failed", "/bin/sh", "-c", "echo why; exit 3")
    core.containers.start(failed, None, {})
    with pytest.raises(RuntimeFailureError, match="code 3") as caught:
        core.containers.wait(failed, "service_completed_successfully", Duration(seconds=20))
    assert "why" in caught.value.output
    for name, code, test in (("well", 0, "exit 0"), ("ill", 1, "exit 1")):
        check = {"test": ("CMD-SHELL", test), "interval": "10ms", "retries": 2}
        made = core.create(name, "/bin/sleep", "60", healthcheck=check)
        core.containers.start(made, None, {})
        if code:
            with pytest.raises(RuntimeFailureError, match="unhealthy"):
                core.containers.wait(made, "service_healthy", Duration(seconds=20))
        else:
            core.containers.wait(made, "service_healthy", Duration(seconds=20))


def test_a_limit_changes_on_the_running_container(core):
    made = core.create("a", "/bin/sleep", "60", resources={"pids": 20})
    core.containers.start(made, None, {})
    before = core.containers.status(made).pid
    wanted = Container(name="a", image="busybox", command=("/bin/sleep", "60"), resources={"pids": 33})
    core.containers.update(made, wanted)
    path = core.containers._paths(made).cgroup.lstrip("/")
    limits = {f.read_text().strip() for top in cgroups.hierarchies() for f in (top / path).rglob("pids.max")}
    assert "33" in limits
    assert core.containers.status(made).pid == before


def test_names_are_unique_and_can_be_handed_over(core):
    made = core.create("a", "/bin/true")
    with pytest.raises(ConflictError, match="a"):
        core.create("a", "/bin/true")
    core.containers.rename(made, "a.old", superseded=True)
    core.create("a", "/bin/true")
    assert {item.actual.name: item.superseded for item in core.containers.observe("p")} == {"a": False, "a.old": True}


def test_a_volume_is_filled_once_kept_and_guarded(core):
    (core.rootfs / "var/seed").mkdir(exist_ok=True)
    os.chown(core.rootfs / "var/seed", 1000, 1000)
    (core.rootfs / "var/seed/file").write_text("from image")
    core.volumes.create(Volume(name="v"), "p")
    core.volumes.fill("v", (core.rootfs,), "/var/seed")
    data = core.volumes.path("v")
    assert (data / "file").read_text() == "from image"
    assert data.stat().st_uid == 1000
    (data / "file").write_text("mine")
    core.volumes.fill("v", (core.rootfs,), "/var/seed")
    assert (data / "file").read_text() == "mine"
    mount = {"type": "volume", "source": "v", "target": "/data"}
    made = core.create("a", "/bin/sh", "-c", "echo more > /data/new", mounts=(mount,))
    core.containers.start(made, None, {})
    core.containers.wait(made, "service_completed_successfully", Duration(seconds=20))
    assert (data / "new").read_text() == "more\n"
    with pytest.raises(ConflictError, match="a"):
        core.volumes.delete("v")
    core.containers.delete(made)
    core.volumes.delete("v")
    assert core.volumes.observe("p") == []
    assert not data.exists()


def test_filling_does_not_follow_a_link_out_of_the_image(core, tmp_path):
    decoy = tmp_path / "decoy"
    decoy.mkdir()
    (decoy / "secret").write_text("x")
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "data").symlink_to(decoy)
    core.volumes.create(Volume(name="v"), "p")
    core.volumes.fill("v", (layer,), "/data")
    assert list(core.volumes.path("v").iterdir()) == []


def test_a_given_namespace_is_joined_and_its_address_told(core):
    netns = namespaces.NetworkNamespace.create()
    made = core.create("a", "/bin/cat", "/etc/hosts")
    core.containers.start(made, netns.path, {"n": "10.9.8.7"})
    core.containers.wait(made, "service_completed_successfully", Duration(seconds=20))
    assert f"10.9.8.7\t{made[:12]}" in [line.text for line in core.containers.logs(made)]
    other = core.create("b", "/bin/sleep", "60")
    core.containers.start(other, netns.path, {})
    inside = Path(f"/proc/{core.containers.status(other).pid}/ns/net").stat()
    assert inside.st_ino == netns.path.stat().st_ino


def test_name_servers_on_loopback_are_left_out():
    text = "nameserver 127.0.0.53\nnameserver ::1\nnameserver 192.0.2.1\nsearch example.org\n"
    assert inside(text, None) == "nameserver 192.0.2.1\nsearch example.org\n"


def test_a_volume_that_is_not_there_is_told(core):
    with pytest.raises(NotFoundError, match="absent"):
        core.create("c", "/bin/true", mounts=({"type": "volume", "source": "absent", "target": "/x"},))
    with pytest.raises(NotFoundError, match="absent"):
        core.volumes.fill("absent", (core.rootfs,), "/var")


def test_a_volume_is_filled_from_several_layers(core, tmp_path):
    (tmp_path / "var/two").mkdir(parents=True)
    (tmp_path / "var/two/upper").write_text("")
    (core.rootfs / "var/two").mkdir(exist_ok=True)
    (core.rootfs / "var/two/lower").write_text("")
    core.volumes.create(Volume(name="v"), "p")
    core.volumes.fill("v", (tmp_path, core.rootfs), "/var/two")
    assert sorted(item.name for item in core.volumes.path("v").iterdir()) == ["lower", "upper"]
    assert sorted(item.name for item in core.volumes.path("v").parent.iterdir()) == ["_data"]
