"""A host by SSH: the same resources over the bridge there, with the files of the program brought along."""

import json
import os
import sys
from pathlib import Path

import pytest

import bayplan
from plugin import CallError, plugin
from sshd import MISSING, sshd

pytestmark = [pytest.mark.host, pytest.mark.skipif(MISSING, reason="no ssh or sshd")]
PACKAGE = Path(bayplan.__file__).parent.parent
SLEEP = {"command": ["sleep", "600"], "stopGracePeriod": "100ms", "networkMode": "none"}


@pytest.fixture
def pulumi(core, tmp_path):
    with sshd(tmp_path / "sshd") as (address, path):
        bridge = f"env PYTHONPATH={PACKAGE} {sys.executable} -m bayplan.bridge"
        configuration = {**core.configuration, "host": address, "remoteCommand": bridge}
        with plugin(configuration, environment={"PATH": path}) as started:
            yield started


def test_resources_of_a_host_by_ssh(pulumi, core, tmp_path):
    context = tmp_path / "app"
    (context / "sub").mkdir(parents=True)
    (context / "Dockerfile").write_text("FROM lab/busybox\nCOPY . /app/\n")
    (context / ".dockerignore").write_text("*.log\n")
    (context / "sub/page").write_text("one")
    (context / "noise.log").write_text("1")
    image = pulumi.checked("Image", {"name": "far/web", "build": {"context": str(context)}})
    name, state = pulumi.create("Image", image)
    (context / "noise.log").write_text("2")
    assert pulumi.diff("Image", name, image, state, image).changes == 1
    (context / "sub/page").write_text("two")
    assert pulumi.diff("Image", name, image, state, image).changes == 2
    (sent,) = (core.state / "sent").glob("image-*")
    assert (sent / "sub/page").read_text() == "one"  # a preview has brought nothing
    updated = pulumi.update("Image", name, image, state, image)
    assert updated["digest"] != state["digest"]
    assert pulumi.diff("Image", name, image, updated, image).changes == 1

    web = pulumi.checked("Container", {"name": "web", "image": updated["reference"], **SLEEP})
    made, running = pulumi.create("Container", web)
    assert pulumi.diff("Container", made, web, running, web).changes == 1
    pulumi.delete("Container", made)
    pulumi.delete("Image", name, image)
    assert not sent.exists()

    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/app.conf").write_text("x = 1\n")
    service = {"image": "lab/busybox", "command": ["cat", "/app.conf"], "volumes": ["./app.conf:/app.conf:ro"]}
    (tmp_path / "shop/compose.yaml").write_text(json.dumps({"services": {"web": {**service, "network_mode": "none"}}}))
    declared = {"project": "shop", "directory": str(tmp_path / "shop"), "files": ["compose.yaml"], "wait": False}
    shop = pulumi.checked("Stack", declared)
    made, _ = pulumi.create("Stack", shop)
    for _ in range(100):
        logs, wrong = pulumi.invoke("getLogs", {"container": "shop-web-1"})
        if logs["text"]:
            break
    assert (logs["text"], wrong) == ("x = 1", {})
    plan, _ = pulumi.invoke("getPlan", {"directory": str(tmp_path / "shop"), "files": ["compose.yaml"]})
    assert {step["resource"] for step in plan["steps"]} <= {"container shop-web-1"}  # it has ended, or does so now
    pulumi.delete("Stack", made, shop)


def test_a_connection_that_breaks_is_made_again(pulumi, core):
    volume = pulumi.checked("Volume", {"name": "data"})
    pulumi.create("Volume", volume)
    tasks = Path(f"/proc/{pulumi.process.pid}/task").glob("*/children")
    children = [int(number) for task in tasks for number in task.read_text().split()]
    (ssh,) = children
    os.kill(ssh, 9)
    said = set()
    for _ in range(3):
        try:
            found = pulumi.read("Volume", "data")
        except CallError as error:
            said.add(error.text.splitlines()[0])
        else:
            break
    assert found[0] == {"name": "data"}
    assert said <= {"host 127.0.0.1: the bridge ended"}
