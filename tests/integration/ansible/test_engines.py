"""The inventory and the connection on Docker and on Podman: their containers are hosts like those of the core."""

import os
import secrets
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

import engines
from integration.ansible.test_plugins import inventory, listed, plain, playbook
from plays import play

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
SLEEP = {"image": "lab/busybox", "command": ["sleep", "600"], "stop_grace_period": "100ms"}
SERVICE = {**SLEEP, "labels": {"tier": "front"}}


@pytest.fixture(params=["docker", "podman"])
def shop(request, environment, tmp_path):
    """A project on an engine of its own."""
    name = request.param
    if reason := engines.why_not(name):
        pytest.skip(f"{name}: {reason}")
    root = Path("/var/lib/bayplan-tests") / secrets.token_hex(4)
    root.mkdir(parents=True)
    try:
        with engines.serve(name, root) as engine:
            settings = {"state_root": str(root / "state"), "run_root": str(engine.run_root / "own")}
            place = {"engine": name, "engine_address": engine.socket}
            stack = {**place, "project_name": "bpa", "definition": {"services": {"web": SERVICE}}}
            ours = SimpleNamespace(environment=environment, directory=tmp_path, settings=settings, place=place)
            ours.engine = engine
            results, output = play(environment, tmp_path, [("stack", stack)], settings)
            assert results[0].get("changed"), output
            yield ours
            gone = {**place, "project_name": "bpa", "state": "absent"}
            play(environment, tmp_path, [("stack", gone)], settings)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def test_its_containers_are_hosts(shop):
    file = inventory(shop, **shop.place, labels=["tier"])
    found = plain(listed(shop, file))
    assert found["project_bpa"]["hosts"] == found["label_tier_front"]["hosts"] == ["bpa-web-1"]
    assert found["_meta"]["hostvars"]["bpa-web-1"]["bayplan_state"] == "running"
    (shop.directory / "tried.sh").write_text("#!/bin/sh\necho carried > /tmp/there && cat /tmp/there && id -u\n")
    tasks = (
        {"ansible.builtin.raw": "hostname && cat /etc/passwd | head -n 1"},
        {"ansible.builtin.script": str(shop.directory / "tried.sh")},
        {"ansible.builtin.raw": "id -u", "remote_user": "1000"},
    )
    done = playbook(shop, file, "bpa-web-1", *tasks)["bpa-web-1"]
    assert done["r0"]["stdout_lines"][1] == "root:x:0:0:root:/root:/bin/sh"
    assert done["r1"]["stdout_lines"] == ["carried", "0"]
    assert done["r2"]["stdout"].split() == ["1000"]


def test_a_project_is_restarted_and_made_anew(shop):
    stack = {**shop.place, "project_name": "bpa", "definition": {"services": {"web": SERVICE}}}
    cases = (({"state": "restarted"}, "restart"), ({"recreate": "always"}, "re-create"))
    tasks = [("stack", {**stack, **asked}, more) for asked, _ in cases for more in ({"check_mode": True}, {})]
    results, output = play(shop.environment, shop.directory, tasks, shop.settings)
    for (_, action), foretold, done in zip(cases, results[::2], results[1::2], strict=True):
        assert [step["action"] for step in done["plan"]["steps"]] == [action], output
        assert foretold["plan"]["steps"] == done["plan"]["steps"]
        assert done["changed"]


def test_only_what_is_ours_is_pruned(shop):
    shop.engine.call("volume", "create", "theirs")
    shop.engine.call("network", "create", "theirs")
    named = {**shop.place, "name": "bpa-own"}
    all_of_it = {**shop.place, "networks": True, "named_volumes": True, "images": True, "builder_cache": True}
    tasks = (("network", named), ("volume", named), ("prune", all_of_it, {"check_mode": True}))
    tasks = (*tasks, ("prune", all_of_it), ("prune", all_of_it))
    (network, volume, foretold, done, again), output = play(shop.environment, shop.directory, tasks, shop.settings)
    assert not done.get("failed"), output
    assert (network["network"]["Name"], volume["volume"]["Name"]) == ("bpa-own", "bpa-own")
    assert volume["volume"]["Mountpoint"].endswith("/bpa-own/_data")
    assert foretold["removed"] == done["removed"]
    assert {"network bpa-own", "volume bpa-own"} == {item for item in done["removed"] if not item.startswith("blob")}
    assert again["changed"] is False
    assert shop.engine.call("volume", "ls", "-q").split() == ["theirs"]
    assert "theirs" in shop.engine.call("network", "ls", "--format", "{{.Name}}").split()
    assert shop.engine.call("ps", "-q")
