"""A Pulumi program on Docker and on Podman, through the real plugin: up, drift by hand, in place, replaced, gone."""

import json
import secrets
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

import engines
from pulumi_engine import Engine
from pulumi_engine.cli import MISSING, Pulumi

pytestmark = pytest.mark.host
PROGRAM = """\
import pulumi
import pulumi_bayplan as bayplan

front = bayplan.Network("front", subnet="10.209.9.0/24")
data = bayplan.Volume("data", labels={{"of": "the shop"}})
web = bayplan.Container("web", image="lab/busybox", command=["sleep", "1000"], init=True, stop_grace_period="0s",
    networks=[{{"network": front.name, "aliases": ["www"]}}], ports=[{{"target": 80, "host_ip": "127.0.0.1"}}],
    mounts=[{{"type": "volume", "source": data.name, "target": "/data"}}], environment={{"WORD": "{word}"}},
    restart={{"condition": "{restart}"}})
pulumi.export("name", web.name)
pulumi.export("id", web.container_id)
pulumi.export("addresses", web.addresses)
pulumi.export("ports", web.bound_ports)
"""


@contextmanager
def _podman(root):
    if reason := engines.why_not("podman"):
        pytest.skip(f"podman: {reason}")
    with engines.serve("podman", root) as engine:
        yield engine


@pytest.fixture(params=["docker", "podman"])
def engine(request):
    """The service, with nothing of ours in it."""
    if request.param == "docker":
        yield request.getfixturevalue("dockerd")
        return
    root = Path("/var/lib/bayplan-tests") / secrets.token_hex(4)
    root.mkdir(parents=True)
    with _podman(root) as started:
        yield started
    shutil.rmtree(root)


@pytest.fixture(params=["engine", "pulumi"])
def ship(request, engine, tmp_path):
    """``ship(word=..., restart=...)`` writes the program; who runs it."""
    if request.param == "pulumi" and MISSING:
        pytest.skip(f"not in PATH: {', '.join(MISSING)}")
    folder = tmp_path / "program"
    folder.mkdir()
    program = folder / "__main__.py"
    places = {"stateRoot": tmp_path / "state", "runRoot": tmp_path / "run"}
    config = {"engine": engine.name, "engineAddress": engine.socket, "lockTimeout": "60s", **places}
    config = {f"bayplan:{name}": str(value) for name, value in config.items()}
    runner = (Engine if request.param == "engine" else Pulumi)(tmp_path, program, config)

    def write(**given):
        program.write_text(PROGRAM.format(**{"word": "one", "restart": "no", **given}))
        return runner

    yield write
    if runner.state_file.exists():
        assert runner.destroy().ok


def inspected(engine, name):
    (found,) = json.loads(engine.call("inspect", "--type", "container", name))
    return found


def test_a_stack_from_nothing_through_drift_to_nothing(ship, engine):
    runner = ship()
    shown = runner.preview()
    assert shown.changes == {"front": ["create"], "data": ["create"], "web": ["create"]}, shown
    made = runner.up()
    assert made.changes == shown.changes, made
    name = made.outputs["name"]
    there = inspected(engine, name)
    assert there["Id"] == made.outputs["id"]
    assert there["State"]["Running"]
    (place,) = there["NetworkSettings"]["Networks"].values()
    assert list(made.outputs["addresses"].values()) == [place["IPAddress"]]
    assert place["IPAddress"].startswith("10.209.9.")
    assert "www" in place["Aliases"]
    (port,) = made.outputs["ports"]
    assert (port["hostIp"], port["target"]) == ("127.0.0.1", 80)
    assert port["published"] > 0
    assert runner.up().changes == {}

    # Drift by the engine's own command: it is stopped.
    engine.call("stop", "-t", "0", name)
    assert runner.refresh().ok
    assert runner.resources()["web"].outputs["state"] == "exited"
    assert runner.preview().changes == {"web": ["update"]}
    assert runner.up().changes == {"web": ["update"]}
    healed = inspected(engine, name)
    assert (healed["Id"], healed["State"]["Running"]) == (there["Id"], True)
    assert runner.up().changes == {}

    # In place what the engine can, else another container, which is there before the old one goes.
    shown = ship(word="two").preview()
    assert set(shown.changes["web"]) == {"create-replacement", "delete-replaced"}
    assert shown.diffs["web"] == {"environment.WORD": "update-replace"}
    replaced = runner.up()
    successor = replaced.outputs["name"]
    assert successor != name
    assert "WORD=two" in inspected(engine, successor)["Config"]["Env"]
    engine.call("inspect", "--type", "container", name, code=125 if engine.name == "podman" else 1)
    changed = ship(word="two", restart="always").up()
    assert set(changed.changes) == {"web"}
    assert inspected(engine, changed.outputs["name"])["HostConfig"]["RestartPolicy"]["Name"] == "always"
    ways = [["update"], ["create-replacement", "delete-replaced"]]  # Podman updates a policy since version 5
    assert changed.changes["web"] in ways[: 1 if engine.name == "docker" else 2]
    assert runner.up().changes == {}

    gone = runner.destroy()
    assert gone.ok, gone
    assert sorted(gone.changes) == ["data", "front", "web"]
    assert engine.call("ps", "-aq") == ""
    assert engine.call("volume", "ls", "-q") == ""
    assert "front" not in engine.call("network", "ls")
