"""Mounts of a container that another project has made."""

import json
import os

import pytest

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def declared(name, **fields):
    service = {"image": "lab/busybox", "command": ["sleep", "600"], "stop_signal": "KILL", "network_mode": "none"}
    volumes = {"data": {}} if "data:/data" in fields.get("volumes", ()) else {}
    return json.dumps({"name": name, "services": {"app": {**service, **fields}}, "volumes": volumes})


@pytest.fixture
def others(bayplan, tmp_path):
    """The file of another project, which is destroyed before that of the test."""
    bayplan.file.write_text(declared("bpv"))
    file = tmp_path / "other.yaml"
    yield file
    ours, bayplan.file = bayplan.file, file
    bayplan("destroy", "--volumes")
    bayplan.file = ours


def test_volumes_of_a_container_outside_the_project(bayplan, others, tmp_path):
    (tmp_path / "bound").mkdir()
    (tmp_path / "bound/file").write_text("bound")
    given = ["data:/data", f"{tmp_path}/bound:/bound", "/anonymous"]
    bayplan.file.write_text(declared("bpv", volumes=given, tmpfs=["/mem"]))
    bayplan("apply")
    bayplan("exec", "app", "sh", "-c", "echo one > /data/one; echo two > /anonymous/two")
    ours, bayplan.file = bayplan.file, others
    others.write_text(declared("bpw", volumes_from=["container:bpv-app-1:ro"], tmpfs=["/bound"]))
    bayplan("apply")
    assert bayplan("plan", "--json")["steps"] == []
    assert bayplan("exec", "app", "cat", "/data/one", "/anonymous/two") == "one\ntwo\n"
    assert "Read-only" in bayplan("exec", "app", "sh", "-c", "echo > /data/new", code=1)
    assert bayplan("exec", "app", "ls", "/bound") == ""  # its own mount at that path goes before
    assert "No such file" in bayplan("exec", "app", "ls", "/mem", code=1)
    others.write_text(declared("bpw", volumes_from=["container:bpv-app-1"]))
    (step,) = bayplan("plan", "--json")["steps"]
    assert step["action"] == "re-create"
    bayplan("apply")
    bayplan("exec", "app", "sh", "-c", "echo > /data/new")
    # Nor does their owner lose them to us, nor we to it.
    bayplan("destroy", "--volumes")
    bayplan.file = ours
    assert "new" in bayplan("exec", "app", "ls", "/data")


def test_a_container_that_is_nowhere_is_refused_in_the_plan(bayplan, others):
    bayplan.file.write_text(declared("bpv", volumes_from=["container:nobody"]))
    said = bayplan("plan", code=2)
    assert "container bpv-app-1: container nobody, whose volumes are wanted, does not exist" in said
    bayplan.file.write_text(declared("bpv", volumes_from=["container:nobody:rx"]))
    assert "is not NAME, NAME:ro or NAME:rw" in bayplan("plan", code=2)
    bayplan.file.write_text(declared("bpv"))
    others.write_text(declared("bpw"))
