import os
import secrets
import time
from pathlib import Path

import pytest

from bayplan.errors import ConflictError, RuntimeFailureError, UnsupportedError
from bayplan.models import Container, Duration, Volume
from bayplan.runtime.native.containers.containers import Containers
from bayplan.runtime.native.images.stored import ImageConfig
from bayplan.runtime.native.state.database import Database
from bayplan.runtime.native.volumes.volumes import Volumes
from bayplan.runtime.protocol import State
from bayplan.system import cgroups

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
        self.containers.create(
            container,
            project="p",
            image=image or ImageConfig(),
            image_digest="sha256:0",
            lowerdirs=(self.rootfs,),
            netns=None,
            hosts="127.0.0.1 localhost\n",
            resolv_conf="",
            volumes=paths,
            container_id=container_id,
        )
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
        core.containers.start(made)
    ready(core, made)
    (seen,) = core.containers.observe("p")
    assert (seen.handle, seen.status.state, seen.project) == (made, State.RUNNING, "p")
    for _ in range(2):
        core.containers.stop(made)
    status = core.containers.status(made)
    assert (status.state, status.exit_code) == (State.EXITED, 5)
    core.containers.start(made)
    assert core.containers.status(made).state is State.RUNNING
    for _ in range(2):
        core.containers.delete(made)
    assert core.containers.observe("p") == []


def test_a_container_without_networks_does_not_see_the_hosts(core):
    made = core.create("a", "/bin/sleep", "60")
    core.containers.start(made)
    inside = Path(f"/proc/{core.containers.status(made).pid}/ns/net").readlink()
    assert inside != Path("/proc/self/ns/net").readlink()


def test_a_start_that_was_killed_before_its_pid_was_recorded_is_replaced(core):
    made = core.create("a", "/bin/sleep", "60")
    core.containers.start(made)
    first = core.containers.status(made).pid
    core.containers.records.set(made, pid=None)
    core.containers.start(made)
    assert core.containers.status(made).pid != first
    assert len(cgroups.members(core.containers._paths(made).cgroup)) == 1


def test_waiting_for_an_end_for_health_and_for_what_never_comes(core):
    ended = core.create("ended", "/bin/true")
    core.containers.start(ended)
    assert core.containers.wait(ended, "service_completed_successfully", Duration(seconds=20)).exit_code == 0
    failed = core.create("failed", "/bin/sh", "-c", "echo why; exit 3")
    core.containers.start(failed)
    with pytest.raises(RuntimeFailureError, match="code 3") as caught:
        core.containers.wait(failed, "service_completed_successfully", Duration(seconds=20))
    assert "why" in caught.value.output
    for name, code, test in (("well", 0, "exit 0"), ("ill", 1, "exit 1")):
        check = {"test": ("CMD-SHELL", test), "interval": "10ms", "retries": 2}
        made = core.create(name, "/bin/sleep", "60", healthcheck=check)
        core.containers.start(made)
        if code:
            with pytest.raises(RuntimeFailureError, match="unhealthy"):
                core.containers.wait(made, "service_healthy", Duration(seconds=20))
        else:
            core.containers.wait(made, "service_healthy", Duration(seconds=20))


def test_a_limit_changes_on_the_running_container(core):
    made = core.create("a", "/bin/sleep", "60", resources={"pids": 20})
    core.containers.start(made)
    before = core.containers.status(made).pid
    wanted = Container(name="a", image="busybox", command=("/bin/sleep", "60"), resources={"pids": 33})
    core.containers.update(made, wanted, ["resources"])
    path = core.containers._paths(made).cgroup.lstrip("/")
    limits = {f.read_text().strip() for top in cgroups.hierarchies() for f in (top / path).rglob("pids.max")}
    assert "33" in limits
    assert core.containers.status(made).pid == before


def test_names_are_unique_and_can_be_handed_over(core):
    made = core.create("a", "/bin/true")
    with pytest.raises(ConflictError, match="a"):
        core.create("a", "/bin/true")
    core.containers.rename(made, "a.old", superseded_by="x")
    core.create("a", "/bin/true")
    assert {item.actual.name: item.superseded for item in core.containers.observe("p")} == {"a": False, "a.old": True}


def test_what_is_not_built_is_refused_and_leaves_no_record(core):
    with pytest.raises(UnsupportedError, match="tty"):
        core.create("a", "/bin/true", tty=True)
    assert core.containers.observe("p") == []


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
    core.containers.start(made)
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
