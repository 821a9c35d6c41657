"""The modules with the real ansible-playbook and ansible-doc, on an assembled collection and the real core."""

import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

TOP = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
MODULES = ("container", "image", "network", "stack", "volume")
pytestmark = pytest.mark.skipif(not (BIN / "ansible-playbook").exists(), reason="needs ansible-core")


@pytest.fixture(scope="module")
def collections(tmp_path_factory):
    root = tmp_path_factory.mktemp("collections")
    top = root / "ansible_collections/bayplan/containers"
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(TOP / "plugins", top / "plugins", ignore=skip)
    shutil.copytree(TOP / "modules", top / "plugins/modules", ignore=skip)
    (top / "galaxy.yml").write_text("namespace: bayplan\nname: containers\nversion: 0.1.0\nreadme: x\nauthors: [x]\n")
    return root


def environment(collections):
    return {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_HOME": str(collections / "home"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_NOCOLOR": "1",
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": str(TOP / "src"),
        "BAYPLAN_COMMAND": str(collections / "bayplan"),
    }


@pytest.fixture
def play(collections, tmp_path):
    tag = secrets.token_hex(2)
    state, run = Path(f"/var/lib/bayplan-tests/{tag}"), Path(f"/run/bayplan-tests/{tag}")
    settings = {
        "state_root": str(state),
        "run_root": str(run),
        "address_pool": "10.211.0.0/16",
        "interface_prefix": f"a{tag[:3]}",
        "nft_table": f"bayplan_test_{tag}",
        "cgroup_parent": f"/bayplan-test-{tag}",
    }
    # As in a virtual environment: the command and its interpreter side by side.
    for name, text in (("bayplan", "exit 99"), ("python", f'exec "{sys.executable}" "$@"')):
        (collections / name).write_text(f"#!/bin/sh\n{text}\n")
        (collections / name).chmod(0o755)
    made = []

    def call(tasks, *arguments, code=0):
        named = [{f"bayplan.containers.{name}": {**options, "settings": settings}} for name, options in tasks]
        made.extend(tasks)
        defaults = {"ansible_python_interpreter": sys.executable}
        plays = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": defaults, "tasks": named}]
        file = tmp_path / "play.yml"
        file.write_text(yaml.safe_dump(plays))
        argv = [BIN / "ansible-playbook", "-i", "localhost,", file, *arguments]
        done = subprocess.run(argv, env=environment(collections), capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    yield call
    gone = [(name, {"name": options["name"], "state": "absent"}) for name, options in reversed(made)]
    call([task for number, task in enumerate(gone) if task not in gone[:number]])
    shutil.rmtree(state, ignore_errors=True)
    shutil.rmtree(run, ignore_errors=True)


@pytest.mark.host
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_check_apply_again_and_absent(play):
    tasks = [
        ("network", {"name": "bpa-back", "internal": True}),
        ("volume", {"name": "bpa-data", "labels": {"backup": "daily"}}),
    ]
    checked = play(tasks, "--check", "--diff")
    assert "changed=2" in checked
    assert "+volume bpa-data: create" in checked
    assert "changed=2" in play(tasks)
    assert "changed=0" in play(tasks)
    tasks[1][1]["labels"] = {"backup": "weekly"}
    assert "daily" in play(tasks, "--check", "--diff")
    assert "changed=1" in play(tasks)
    absent = [(name, {"name": options["name"], "state": "absent"}) for name, options in tasks]
    assert "changed=2" in play(absent)
    assert "changed=0" in play(absent)


@pytest.mark.host
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_refusal_is_a_failed_task_with_a_sentence(play):
    said = play([("network", {"name": "bpa-wrong", "subnet": "10.1.0.0/33"})], code=2)
    assert "network bpa-wrong: subnet" in said


@pytest.mark.host
def test_a_missing_command_is_named(play):
    said = play([("volume", {"name": "bpa-none", "bayplan_command": "/nowhere/bayplan"})], code=2)
    assert "cannot run /nowhere/bayplan" in said


@pytest.mark.parametrize("name", MODULES)
def test_documentation_renders_and_equals_the_argument_spec(collections, name):
    argv = [BIN / "ansible-doc", "--json", f"bayplan.containers.{name}"]
    done = subprocess.run(argv, env=environment(collections), capture_output=True, text=True, check=True)
    documented = json.loads(done.stdout)[f"bayplan.containers.{name}"]["doc"]["options"]
    scope = {}
    exec((TOP / "plugins/module_utils/_specs.py").read_text(), scope)
    same(documented, scope["SPECS"][name])


def same(documented, spec):
    assert set(documented) == set(spec)
    for option, entry in spec.items():
        for key in ("type", "elements", "choices", "default", "aliases", "required"):
            assert (documented[option].get(key) or None) == (entry.get(key) or None), (option, key)
        if "options" in entry:
            same(documented[option]["suboptions"], entry["options"])
