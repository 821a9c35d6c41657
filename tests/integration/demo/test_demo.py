"""The demo's stack, whole: its playbook on the lab's images, held field for field against what was shown before."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture(scope="module")
def registries():
    """The lab's registries.conf. The lab stays: it is a cache, `./run lab-down` removes it."""
    done = subprocess.run([sys.executable, TOP / "tests/lab/lab.py", "up"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def shop(registries, tmp_path):
    tag = secrets.token_hex(2)
    state, run = Path(f"/var/lib/bayplan-tests/{tag}"), Path(f"/run/bayplan-tests/{tag}")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "BAYPLAN_CONFIG": "/nonexistent",
        "BAYPLAN_COMMAND": str(BIN / "bayplan"),
        "BAYPLAN_STATE_ROOT": str(state),
        "BAYPLAN_RUN_ROOT": str(run),
        "BAYPLAN_ADDRESS_POOL": f"10.{100 + secrets.randbelow(20)}.0.0/20",
        "BAYPLAN_INTERFACE_PREFIX": f"d{tag[:3]}",
        "BAYPLAN_NFT_TABLE": f"bayplan_test_{tag}",
        "BAYPLAN_CGROUP_PARENT": f"/bayplan-test-{tag}",
        "BAYPLAN_REGISTRIES_CONF": registries,
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_HOME": str(tmp_path),
        "ANSIBLE_NOCOLOR": "1",
        "LC_ALL": "C.UTF-8",
        "SHOP_PORT": str(port),
    }
    project = tmp_path / "shop"
    shutil.copytree(TOP / "examples/shop", project)
    core = Shop(environment, project, port)
    yield core
    core.call("destroy", "--volumes", "--images")
    assert core.call("status", "--json") == []
    shutil.rmtree(state)
    shutil.rmtree(run, ignore_errors=True)


class Shop:
    """The command and the playbook on one core, and the answer of the front."""

    def __init__(self, environment, project, port):
        self.environment, self.project, self.port = environment, project, port

    def call(self, *arguments, code=0, **extra):
        argv = [BIN / "bayplan", "-f", self.project / "compose.yaml", *arguments]
        done = subprocess.run(argv, env={**self.environment, **extra}, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout) if "--json" in arguments else done.stdout + done.stderr

    def play(self, *arguments):
        variables = {"shop_port": str(self.port), "project_src": str(self.project)}
        argv = [BIN / "ansible-playbook", "-i", "localhost,", TOP / "playbooks/demo.yml", "-e", json.dumps(variables)]
        done = subprocess.run([*argv, *arguments], env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def answer(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5) as reply:
            return json.load(reply)

    def ids(self):
        return {item["name"]: item["id"] for item in self.call("status", "--json") if item["kind"] == "container"}


def steps(plan):
    """What a plan says of each resource, without the order of its steps."""
    shown = ("action", "why", "fields", "risks", "waits")
    return {
        f"{step['resource']['kind']} {step['resource']['name']}": [step[name] for name in shown]
        for step in plan["steps"]
    }


def test_the_playbook_brings_it_up_again_and_with_one_edit(shop):
    assert "changed=1" in shop.play()
    assert "changed=0" in shop.play()
    first = shop.answer()
    assert first["greeting"] == "Welcome aboard"
    before = shop.ids()
    checked = shop.play("--check", "--diff", "-e", "greeting=Ahoy")
    assert "changed=1" in checked
    assert "+  environment[GREETING]: 'Ahoy'" in checked
    assert shop.ids() == before
    assert "changed=1" in shop.play("-e", "greeting=Ahoy")
    second = shop.answer()
    assert second["greeting"] == "Ahoy"
    assert second["visitors"] > first["visitors"], "the store kept its data"
    after = shop.ids()
    assert [name for name in before if before[name] != after[name]] == ["shop-web-1"]


def test_every_apply_does_exactly_what_was_planned(shop):
    for greeting in ("Welcome aboard", "Ahoy"):
        planned = shop.call("plan", "--json", GREETING=greeting)
        applied = shop.call("apply", "--json", GREETING=greeting)
        assert steps(applied["plan"]) == steps(planned)
        assert sorted(applied["done"]) == sorted(steps(planned))
        assert shop.answer()["greeting"] == greeting
        started = shop.ids()
        again = shop.call("apply", "--json", GREETING=greeting)
        assert (again["changed"], again["plan"]["steps"], again["done"]) == (False, [], [])
        assert shop.ids() == started
    # An edit of the program builds the image anew and replaces its container, nothing else.
    program = shop.project / "web/shop.py"
    program.write_text(program.read_text().replace('"host"', '"berth"'))
    planned = shop.call("plan", "--json", GREETING="Ahoy")
    assert sorted(steps(planned)) == ["container shop-web-1", "image shop/web"]
    applied = shop.call("apply", "--json", GREETING="Ahoy")
    assert sorted(applied["done"]) == sorted(steps(planned))
    assert "berth" in shop.answer()


def test_the_lab_s_nginx_serves_a_page_as_the_public_one_does(shop):
    service = f'{{image: "nginx:stable", ports: ["127.0.0.1:{shop.port}:80"]}}'
    (shop.project / "compose.yaml").write_text(f"name: shop\nservices: {{web: {service}}}\n")
    shop.call("apply")
    with urllib.request.urlopen(f"http://127.0.0.1:{shop.port}/", timeout=5) as reply:
        assert b"Welcome to nginx!" in reply.read()
    assert "GET / HTTP" in shop.call("logs")
