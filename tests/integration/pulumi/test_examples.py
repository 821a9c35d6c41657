"""The programs of examples/pulumi, each run as a reader would."""

import json
import shlex
import shutil
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml

from sshd import MISSING as NO_SSHD
from sshd import sshd

pytestmark = pytest.mark.host
TOP = Path(__file__).parents[3]
EXAMPLES = TOP / "examples/pulumi"


@pytest.fixture
def example(host, ship, tmp_path):
    """``example(NAME)`` copies one here, with its stack's configuration, and gives who runs it."""

    def copy(name, stack="dev"):
        engine = ship("")
        shutil.copytree(EXAMPLES / name, engine.program.parent, dirs_exist_ok=True)
        configured = EXAMPLES / name / f"Pulumi.{stack}.yaml"
        found = yaml.safe_load(configured.read_text())["config"] if configured.is_file() else {}
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in found.items()}
        engine.begin(name, stack, {**host.config, **texts})
        return engine

    with host.runtime() as runtime:
        runtime.image_verbs.tag("lab/busybox", "busybox:stable")
    return copy


def fetched(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def test_one_host(example, host):
    engine = example("one-host")
    engine.config["one-host:port"] = "18481"
    engine.secret_config["one-host:token"] = "hush"
    made = engine.up()
    assert made.ok, made.errors
    assert fetched(made.outputs["url"]) == "<h1>Good morning from dev</h1>\n"
    assert engine.up().changes == {}
    engine.config["one-host:greeting"] = "Good evening"
    assert engine.up().ok
    assert "Good evening" in fetched(made.outputs["url"])


@pytest.mark.skipif(NO_SSHD, reason="no sshd")
def test_three_hosts(example, hosts, tmp_path, monkeypatch):
    """Three cores on this machine, each behind a real sshd."""
    engine = example("three-hosts")
    with sshd(tmp_path / "ssh") as (address, path):
        monkeypatch.setitem(engine.environment, "PATH", path)
        bridge = f"env PYTHONPATH={TOP / 'src'} {shlex.quote(sys.executable)} -m bayplan.bridge"
        given = {
            f"ship{number}": {**one.arguments, "host": address, "remote_command": bridge, "published": 18490 + number}
            for number, one in enumerate(hosts, 1)
        }
        engine.config["three-hosts:hosts"] = json.dumps(given)
        shown = engine.preview()
        assert shown.ok, shown.errors
        made = engine.up()
        assert made.ok, made.errors
        for name in given:
            assert made.outputs[name]["state"] == "running"
            assert fetched(made.outputs[name]["url"]) == f"{name}\n"
        assert [len(one.containers()) for one in hosts] == [2, 2, 2]
        assert engine.up().changes == {}
        assert engine.destroy().ok
    assert [one.containers() for one in hosts] == [{}, {}, {}]


def test_environments(example, host, tmp_path):
    counts, reports = {}, []
    for stack in ("dev", "staging", "prod"):
        engine = example("environments", stack)
        made = engine.up()
        assert made.ok, made.errors
        counts[stack] = len(made.outputs["containers"])
        assert made.outputs["differences"] == [
            "dev: services.web.environment.LEVEL",
            "prod: services.web.deploy.replicas",
        ]
        reports.append(tmp_path / f"{stack}.json")
        host.bayplan("-p", f"shop-{stack}", "parity", "--save", reports[-1])
        assert engine.destroy().ok
    assert counts == {"dev": 1, "staging": 1, "prod": 3}
    # The rules of the program are those of the hosts.
    told = host.bayplan("parity", *reports)
    assert "services.web.environment.LEVEL (by services.web.environment.LEVEL: debug where it is debugged)" in told
    assert "\n0 not allowed" in told
    text = engine.program.read_text().replace('"staging": {}', '"staging": {"services": {"web": {"image": "other"}}}')
    engine.program.write_text(text)
    refused = engine.preview()
    assert not refused.ok
    assert "staging: services.web.image" in "\n".join(refused.errors)
