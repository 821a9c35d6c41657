"""The module stack and the playbooks that begin with it, on the real core, with a Compose file of two services."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
import yaml

from bayplan.engines import open_runtime
from bayplan.runtime.protocol import Scope
from plays import BIN

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
COMPOSE = """\
services:
  store:
    image: lab/busybox
    command: [sh, -c, 'echo up > /data/up; exec sleep 600']
    volumes: ["data:/data"]
    stop_grace_period: 100ms
    healthcheck: {test: [CMD, cat, /data/up], interval: 100ms, retries: 50}
  web:
    image: lab/busybox
    command: [sleep, "601"]
    environment: {GREETING: "${GREETING:-hello}"}
    stop_grace_period: 100ms
    depends_on: {store: {condition: service_healthy}}
volumes:
  data: {}
"""


def pids(core, project):
    """Service's container to its first process."""
    with open_runtime(core.core) as runtime:
        found = runtime.observe(Scope(project=project)).resources.values()
    return {item.id.name: item.status.pid for item in found if item.id.kind == "container"}


def names(core, project):
    with open_runtime(core.core) as runtime:
        return sorted(str(item) for item in runtime.observe(Scope(project=project)).resources)


def test_apply_edit_and_remove(core, host, tmp_path):
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    source = {"project_src": str(tmp_path), "project_name": "bpa"}
    made = core.both("stack", **source)
    assert len(made["result"]["done"]) == len(made["plan"]["steps"]) == 4
    before = pids(core, "bpa")
    assert host.process.get(pid=before["bpa-web-1"]).args.endswith("sleep 601")
    assert host.file(str(core.state / "volumes/bpa_data/_data/up")).content_string == "up\n"
    edited = core.both("stack", **source, env={"GREETING": "bonjour"})
    assert edited["diff"]["before"].endswith("environment[GREETING]: 'hello'\n")
    after = pids(core, "bpa")
    assert after["bpa-store-1"] == before["bpa-store-1"]
    assert "GREETING=bonjour" in host.file(f"/proc/{after['bpa-web-1']}/environ").content_string
    core.both("stack", **source, state="absent")
    assert names(core, "bpa") == ["volume bpa_data"]
    assert not host.file(f"/proc/{after['bpa-store-1']}").exists
    core.both("stack", project_name="bpa", state="absent", remove_volumes=True)
    assert names(core, "bpa") == []
    assert not host.file(str(core.state / "volumes/bpa_data")).exists


def test_a_definition_and_what_is_wrong_with_one(core, tmp_path):
    definition = yaml.safe_load(COMPOSE)
    made, unnamed, wrong, both, nothing = core.play(
        ("stack", {"definition": definition, "project_name": "bpa"}),
        ("stack", {"definition": definition}),
        ("stack", {"definition": {"services": {"web": {"imag": "x"}}}, "project_name": "bpa"}),
        ("stack", {"definition": definition, "files": ["x"]}),
        ("stack", {"project_src": str(tmp_path)}),
    )
    assert made["changed"]
    assert "name" in unnamed["msg"]
    assert "imag" in wrong["msg"]
    assert "mutually exclusive" in both["msg"]
    assert str(tmp_path) in nothing["msg"]
    assert all(item["failed"] for item in (unnamed, wrong, both, nothing))
    assert sorted(pids(core, "bpa")) == ["bpa-store-1", "bpa-web-1"]


def test_what_is_asked_for_though_nothing_differs(core, tmp_path):
    """A restart, other containers, and what a registry has: each foretold, of named services alone where some are."""
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    (tmp_path / "other.env").write_text("GREETING=bonjour\n")
    source = {"project_src": str(tmp_path), "project_name": "bpa"}
    core.both("stack", **source, env_files=["other.env"])
    before = pids(core, "bpa")
    assert b"GREETING=bonjour\0" in Path(f"/proc/{before['bpa-web-1']}/environ").read_bytes()
    source["env_files"] = ["other.env"]
    cases = (({"state": "restarted"}, "restart"), ({"recreate": "always"}, "re-create"))
    for asked, action in cases:
        one = {**source, **asked, "services": ["web"]}
        for options, names in ((one, ["bpa-web-1"]), ({**source, **asked}, ["bpa-store-1", "bpa-web-1"])):
            foretold, done = core.play(("stack", options, {"check_mode": True}), ("stack", options))
            told = [(step["action"], step["resource"]["name"]) for step in done["plan"]["steps"]]
            assert sorted(told) == [(action, name) for name in names]
            assert foretold["plan"]["steps"] == done["plan"]["steps"]
            now = pids(core, "bpa")
            assert {name for name in now if now[name] != before[name]} == set(names)
            before = now
    away = core.one("stack", **source, pull="always")
    assert "lab/busybox" in away["msg"]
    assert pids(core, "bpa") == before
    assert core.one("stack", **source, pull="never", build="always")["changed"] is False


def test_a_stack_is_stopped_until_it_is_to_run_again(core, tmp_path):
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    source = {"project_src": str(tmp_path), "project_name": "bpa"}
    core.both("stack", **source)
    some = core.both("stack", **source, services=["web"], state="stopped", wait=True)
    assert [(step["action"], step["resource"]["name"]) for step in some["plan"]["steps"]] == [("stop", "bpa-web-1")]
    assert [name for name, pid in pids(core, "bpa").items() if pid] == ["bpa-store-1"]
    core.both("stack", **source, state="stopped")
    assert not any(pids(core, "bpa").values())
    assert core.one("drift_info", project_name="bpa")["drifted"] is False
    back = core.both("stack", **source)
    assert back["plan"]["counts"] == {"start": 2}


@pytest.fixture
def book(core, environment, tmp_path):
    """Plays a playbook of the collection on this machine's test core; gives what it said."""
    (tmp_path / "shop.yaml").write_text(COMPOSE)
    variables = {
        "project_src": str(tmp_path),
        "files": ["shop.yaml"],
        "project_name": "bpa",
        "bayplan_settings": core.settings,
        "bayplan_become": False,
        "bayplan_hosts": "here",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        "ansible_connection": "local",
    }
    (tmp_path / "vars.yml").write_text(yaml.safe_dump(variables))

    def play(name, *arguments, code=0, **more):
        extra = ["-e", f"@{tmp_path}/vars.yml", "-e", json.dumps(more), *arguments]
        argv = [BIN / "ansible-playbook", "-i", "here,", f"bayplan.containers.{name}", *extra]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    return play


def test_the_playbooks_up_and_down(core, book):
    assert "changed=1" in book("up")
    assert "changed=0" in book("up")
    assert sorted(pids(core, "bpa")) == ["bpa-store-1", "bpa-web-1"]
    assert "changed=1" in book("down", remove_volumes=True)
    assert names(core, "bpa") == []


def test_the_playbooks_take_a_project_from_where_ansible_runs(core, book, tmp_path):
    assert "changed=1" in book("up", remote_src=False)
    assert "changed=0" in book("up", remote_src=False)
    (tmp_path / "shop.yaml").write_text(COMPOSE.replace("hello", "another"))
    assert "changed=1" in book("rolling_update", remote_src=False)
    assert b"GREETING=another\0" in Path(f"/proc/{pids(core, 'bpa')['bpa-web-1']}/environ").read_bytes()
    assert list(core.state.rglob("shop.yaml")), "kept on the host"


@pytest.mark.parametrize("name", ["up", "down", "rolling_update", "registry"])
def test_each_playbook_takes_the_command_that_is_named(book, tmp_path, name):
    named = {"bayplan_command": "/nowhere/bayplan", "volumes": ["x"], "parity_directory": str(tmp_path / "parity")}
    assert "cannot run /nowhere/bayplan" in book(name, code=2, **named)


def test_the_playbooks_of_a_project_that_lives(core, book, tmp_path):
    book("up")
    (tmp_path / "shop.yaml").write_text(COMPOSE.replace("hello", "another"))
    book("up")
    before = pids(core, "bpa")
    assert "changed=1" in book("rollback", "--check")
    assert pids(core, "bpa") == before
    assert "changed=1" in book("rollback", generation=1)
    assert "changed=0" in book("rollback", generation=1)
    assert pids(core, "bpa") != before

    assert "changed=0" in book("drift")
    os.kill(pids(core, "bpa")["bpa-web-1"], signal.SIGKILL)
    book("drift", "--check", code=2)
    assert "bpa has drifted on here" in book("drift", code=2)
    assert "changed=1" in book("drift", heal=True)
    assert "changed=0" in book("drift")

    (tmp_path / "shop.yaml").write_text(COMPOSE.replace("hello", "third"))
    assert "changed=1" in book("rolling_update")
    (tmp_path / "shop.yaml").write_text(COMPOSE.replace("hello", "fourth"))
    assert "It answers" in book("rolling_update", code=2, bayplan_probe="http://127.0.0.1:9/", bayplan_retries=1)
    assert b"GREETING=third\0" in Path(f"/proc/{pids(core, 'bpa')['bpa-web-1']}/environ").read_bytes()

    reports = tmp_path / "parity"
    assert "changed=0" in book("parity", parity_directory=str(reports))
    assert json.loads((reports / "here.json").read_text())["project"] == "bpa"
    assert (reports / "parity.html").is_file()

    core.play(("volume", {"name": "bpa-full"}), ("volume", {"name": "bpa-empty"}))
    (core.state / "volumes/bpa-full/_data/file").write_text("kept")
    kept = {"volumes": ["bpa-full"], "backup_directory": str(tmp_path / "backup")}
    book("backup", "--check", **kept)
    assert not (tmp_path / "backup").exists()
    book("backup", **kept)
    assert "changed=0" in book("backup", **kept)
    assert "changed=0" in book("backup", **kept, restore=True)
    (core.state / "volumes/bpa-full/_data/file").unlink()
    assert "changed=1" in book("backup", **kept, restore=True)
    assert (core.state / "volumes/bpa-full/_data/file").read_text() == "kept"
