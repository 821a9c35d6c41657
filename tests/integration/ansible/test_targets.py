"""Every integration target, as a plain ansible-playbook runs it, on the real core; nothing planted is ever shown."""

import json
import os
import shlex
import subprocess
import sys

import pytest

from integration.images.conftest import serve
from plays import BIN, TOP
from sshd import MISSING, sshd

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
TARGETS = TOP / "tests/integration/targets"
PLANTED = "planted-"


@pytest.fixture
def run(core, environment, tmp_path):
    yield from targets(core, environment, tmp_path)


def targets(core, environment, tmp_path):
    """Plays targets; all that was said, and all that the core keeps, is searched for planted secrets."""

    def call(*names, **more):
        kept = {name: str(core.state / name) for name in ("secrets_root", "configs_root")}
        variables = {"settings": {**core.settings, **kept, **more.pop("settings", {})}, "image": "lab/busybox"}
        variables |= {"scratch": str(tmp_path / "scratch"), "targets": ",".join(names), **more}
        (tmp_path / "variables.json").write_text(json.dumps(variables))
        argv = [
            BIN / "ansible-playbook",
            "-i",
            "localhost,",
            "-v",
            TARGETS / "run.yml",
            "-e",
            f"@{tmp_path}/variables.json",
        ]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        assert PLANTED not in said
        return said

    yield call
    for file in core.state.glob("*.db*"):
        assert PLANTED.encode() not in file.read_bytes(), file


def test_containers_and_what_is_in_them(run):
    run("container", "container_exec", "container_copy")


def test_images_networks_volumes(run):
    run("image", "network", "volume_backup")


def test_stacks_their_past_and_what_they_are_given(run):
    run("stack", "secret", "prune")


def test_a_registry_that_wants_credentials(run, core, tmp_path):
    (tmp_path / "htpasswd").write_text("user:$2b$04$OhagQDV4Mse73AwwQRTGcexDgt7BqnQHVvZmg.9OWaIrSLGMAapuO\n")
    core.play(("image", {"name": "lab/busybox", "archive_path": str(tmp_path / "box.tar")}))
    locked = serve(tmp_path, f"auth: {{htpasswd: {{realm: tests, path: {tmp_path / 'htpasswd'}}}}}\n")
    host = next(locked)
    try:
        (tmp_path / "registries.conf").write_text(f'[[registry]]\nlocation = "{host}"\ninsecure = true\n')
        settings = {"registries_conf": [str(tmp_path / "registries.conf")]}
        named = {"registry": host, "registry_password": "not-so-secret", "archive": str(tmp_path / "box.tar")}
        said = run("registry_login", settings=settings, **named)
        assert "not-so-secret" not in said
    finally:
        locked.close()


@pytest.mark.skipif(MISSING, reason="package openssh-server is not installed")
def test_an_image_given_to_another_host(run, core, host, tmp_path, monkeypatch):
    other = {"STATE_ROOT": tmp_path / "other", "RUN_ROOT": core.run / "other"}
    own = [f"BAYPLAN_{name}={path}" for name, path in other.items()]
    own += [f"PYTHONPATH={os.environ['PYTHONPATH']}"] if "PYTHONPATH" in os.environ else []  # sshd gives none of ours
    bridge = ["env", *own, sys.executable, "-m", "bayplan.bridge"]
    with sshd(tmp_path / "ssh") as (address, path):
        monkeypatch.setitem(core.environment, "PATH", path)
        run("image_copy", copy_target=address, copy_command=shlex.join(bridge))
    told = host.check_output("env %s %s -m bayplan image ls --json", own[0], sys.executable)
    assert [image["names"] for image in json.loads(told)] == [["lab/busybox:latest"]]


def test_every_module_has_a_target():
    texts = "".join(file.read_text() for file in TARGETS.glob("*/tasks/main.yml"))
    modules = {file.stem for file in (TOP / "modules").glob("*.py")} - {"node"}  # tests/integration/swarm plays it
    assert modules == {name for name in modules if f"bayplan.containers.{name}:" in texts}
