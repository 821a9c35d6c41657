"""The bridge over the fake runtime: requests as the Ansible modules send them."""

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from bayplan.bridge.main import respond
from bayplan.bridge.request import read_resources
from bayplan.errors import DeclarationError
from bayplan.models import Container
from bayplan.runtime.fake import FakeRuntime

TOP = Path(__file__).resolve().parents[3]
COMPOSE = "services:\n  web:\n    image: lab/web\n    environment: {SECRET: '${SECRET:-one}'}\n"


@pytest.fixture
def ask(tmp_path):
    runtime = FakeRuntime()

    @contextmanager
    def opener(settings):
        yield runtime

    def call(verb, **request):
        settings = {"state_root": str(tmp_path / "state"), "run_root": str(tmp_path / "run")}
        (tmp_path / "state").mkdir(exist_ok=True)
        return respond(json.dumps({"verb": verb, "settings": settings, **request}), opener)

    call.runtime = runtime
    return call


def web(**options):
    return [{"kind": "container", "name": "web", "image": "lab/web", **options}]


def test_check_changes_nothing_and_foretells_the_apply(ask):
    planned = ask("apply", resources=web(), check=True)
    assert planned["changed"] is True
    assert ask.runtime.calls == []
    done = ask("apply", resources=web())
    assert done["plan"]["steps"] == planned["plan"]["steps"]
    assert done["result"]["done"] == ["image lab/web", "container web"]
    assert ask("apply", resources=web())["changed"] is False


def test_a_stack_is_held_to_the_lock_beside_its_file(ask, tmp_path):
    digest = "sha256:" + "a" * 64
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    source = {"project_src": str(tmp_path), "project_name": "shop"}
    refused = ask("apply", stack={**source, "locked": True})
    assert "there is no lock beside the declaration" in refused["msg"]
    lock = tmp_path / "bayplan.lock"
    lock.write_text(f"version: 1\nimages:\n  docker.io/lab/web:latest:\n    digest: {digest}\n")
    assert ask("plan", stack={**source, "locked": True})["plan"]["images"]["lab/web"]["digest"] == digest
    lock.write_text("version: 1\n")
    assert "image lab/web is not in the lock" in ask("apply", stack={**source, "locked": True})["msg"]
    found = ask("plan", stack=source)
    assert "image lab/web is not in the lock" in found["warnings"][0]
    assert ask.runtime.calls == []


def test_a_report_tells_what_is_declared_and_what_runs(ask):
    assert "there is nothing of project shop" in ask("report", stack={"project_name": "shop"})["msg"]
    definition = {"services": {"web": {"image": "lab/web", "environment": {"API_KEY": "planted"}}}}
    ask("apply", stack={"definition": definition, "project_name": "shop"})
    found = ask("report", stack={"project_name": "shop"})["report"]
    assert found["declared"]["services.web.image"] == "docker.io/lab/web:latest"
    assert found["running"]["services.web.state"] == "running"
    assert found["generation"] == 1
    assert "planted" not in json.dumps(found)


def test_short_spellings_are_the_long_ones(ask):
    short = {
        "ports": ["127.0.0.1:8080:80/udp"],
        "mounts": ["data:/data:ro", "/srv:/srv"],
        "networks": ["front"],
        "restart": False,
        "command": "sleep 'a b'",
        "environment": {"N": 1, "T": True},
    }
    long = {
        "ports": [{"host_ip": "127.0.0.1", "published": 8080, "target": 80, "protocol": "udp"}],
        "mounts": [
            {"type": "volume", "source": "data", "target": "/data", "read_only": True},
            {"type": "bind", "source": "/srv", "target": "/srv"},
        ],
        "networks": [{"network": "front"}],
        "restart": {"condition": "no"},
        "command": ["sleep", "a b"],
        "environment": {"N": "1", "T": "true"},
    }
    resources = [{"kind": "network", "name": "front"}, {"kind": "volume", "name": "data"}]
    assert "failed" not in ask("apply", resources=[*resources, *web(**short)])
    assert ask("apply", resources=[*resources, *web(**long)])["changed"] is False


def test_stopped_stops_once_and_started_starts_again(ask):
    ask("apply", resources=web())
    stopping = {"resources": web(), "options": {"state": "stopped"}}
    assert (
        ask("apply", check=True, **stopping)["diff"]["after"] == "container web: stop (declared stopped, is running)\n"
    )
    assert ask("apply", **stopping)["changed"] is True
    assert ask("apply", **stopping)["changed"] is False
    assert [item["action"] for item in ask("apply", resources=web())["plan"]["steps"]] == ["start"]


def test_stopped_makes_without_starting_and_takes_changes_along(ask):
    stopping = {"resources": web(), "options": {"state": "stopped"}}
    ask("apply", **stopping)
    assert "start web" not in ask.runtime.calls
    assert ask("apply", **stopping)["changed"] is False
    started = ask("apply", resources=web(labels={"tier": "one"}))
    assert [item["action"] for item in started["plan"]["steps"]] == ["start"]
    assert ask("apply", resources=web(labels={"tier": "one"}))["changed"] is False
    again = {"resources": web(labels={"tier": "two"}), "options": {"state": "stopped"}}
    assert [item["path"] for item in ask("apply", **again)["plan"]["steps"][0]["fields"]] == ["labels[tier]"]
    assert ask("apply", **again)["changed"] is False


def test_without_root_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    refused = respond(json.dumps({"verb": "apply", "resources": [{"kind": "volume", "name": "one"}]}))
    assert "needs root" in refused["msg"]
    assert "become" in refused["hint"]


def test_absent_removes_only_what_is_named(ask):
    ask("apply", resources=[{"kind": "volume", "name": "one"}, {"kind": "volume", "name": "two"}])
    gone = {"absent": [{"kind": "volume", "name": "one"}]}
    assert ask("apply", **gone)["changed"] is True
    assert ask("apply", **gone)["changed"] is False
    assert [item.name for item in ask.runtime.resources] == ["two"]


def test_a_stack_from_files_and_its_removal(ask, tmp_path):
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    stack = {"project_src": str(tmp_path), "project_name": "shop"}
    assert ask("apply", stack=stack)["changed"] is True
    assert ask("apply", stack=stack)["changed"] is False
    edited = ask("apply", stack={**stack, "env": {"SECRET": "two"}}, check=True)
    assert [item["path"] for item in edited["plan"]["steps"][0]["fields"]] == ["environment[SECRET]"]
    assert ask("destroy", stack={"project_name": "shop"})["changed"] is True
    assert ask("destroy", stack={"project_name": "shop"})["changed"] is False


def test_a_definition_is_read_like_a_file(ask, tmp_path):
    definition = {"services": {"web": {"image": "lab/web", "ports": ["22:22"]}}}
    stack = {"definition": definition, "project_name": "shop", "project_src": str(tmp_path)}
    assert "container shop-web-1" in ask("apply", stack=stack)["result"]["done"]


@pytest.mark.parametrize(
    ("request_text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "an object with a verb"),
        ('{"verb": "apply", "resources": [{"kind": "pod"}]}', "unknown kind 'pod'"),
        ('{"verb": "apply", "resources": [{"kind": "volume", "name": "-"}]}', "volume -: name"),
        ('{"verb": "apply", "stack": {}}', "no Compose file"),
        ('{"verb": "apply", "settings": {"workers": 0}}', "setting workers"),
    ],
)
def test_a_wrong_request_fails_with_a_sentence(request_text, said):
    response = respond(request_text)
    assert response["failed"] is True
    assert said in response["msg"]


def test_a_failed_step_fails_the_request(ask):
    ask.runtime.fail["start web"] = "no such program"
    failed = ask("apply", resources=web())
    assert "no such program" in failed["msg"]
    assert failed["changed"] is True, "the image was pulled"
    assert failed["result"] == {"done": ["image lab/web"], "failed": ["container web"], "skipped": []}


def test_a_stack_that_fails_goes_back_unless_it_is_told_to_keep_what_was_done(ask, tmp_path):
    def stack(word, project="shop"):
        one = {"image": "lab/web", "environment": {"W": word}}
        services = {"a": one, "b": {**one, "depends_on": ["a"]}}
        return {"definition": {"services": services}, "project_name": project, "project_src": str(tmp_path)}

    def word(service):
        found = {key.name: item.actual for key, item in ask.runtime.resources.items()}
        return found[f"shop-{service}-1"].environment["W"]

    ask("apply", stack=stack("one"))
    orphan = Container(name="shop-orphan-1", image="lab/web")
    ask.runtime.create(orphan, project="shop")
    ask.runtime.fail["start shop-b-1"] = "no such program"
    more = stack("two")
    more["definition"]["services"]["new"] = {"image": "lab/web"}
    failed = ask("apply", stack=more, options={"purge": False})
    names = {key.name for key in ask.runtime.resources}
    assert "shop-orphan-1" in names, "it was there before"
    assert "shop-new-1" not in names
    ask.runtime.delete(orphan.id)
    assert "no such program (rolled back to generation 1)" in failed["msg"]
    assert failed["changed"] is True
    assert failed["result"]["rolled_back"] == "generation 1"
    assert (word("a"), word("b")) == ("one", "one")
    kept = ask("apply", stack=stack("two"), options={"on_failure": "keep"})
    assert kept["failed"]
    assert "rolled_back" not in kept["result"]
    assert (word("a"), word("b")) == ("two", "one")
    assert "rollback or keep" in ask("apply", stack=stack("two"), options={"on_failure": "x"})["msg"]


@pytest.mark.parametrize("tool", ["specs.py", "schemas.py"])
def test_what_is_generated_matches_the_models(tool):
    check = subprocess.run([sys.executable, TOP / "tools" / tool, "--check"], capture_output=True, check=False)
    assert check.returncode == 0, check.stderr


@pytest.mark.parametrize("text", ["[" * 200_000, '{"verb": "info"}'])
def test_there_is_an_answer_whatever_happens(text):
    def opener(_):
        raise OSError(28, "No space left on device")

    response = respond(text, opener)
    assert response["failed"]
    assert "No space left" in response["msg"] or "not JSON" in response["msg"]


def test_a_mistake_of_ours_is_an_answer_too_and_tells_no_value():
    def opener(_):
        raise ValueError("hunter2")

    response = respond('{"verb": "host_info"}', opener)
    assert response["failed"]
    assert response["msg"].startswith("bridge: ValueError at ")
    assert "hunter2" not in json.dumps(response)


def test_a_setting_of_the_request_is_named_as_that():
    response = respond('{"verb": "host_info", "settings": {"address_pool": "x"}}')
    assert response["msg"].startswith("settings: setting address_pool: ")


def test_nodes_of_a_swarm_stand_alone():
    stack = read_resources([{"kind": "node", "name": "ship1", "role": "manager", "labels": {"rack": 7}}])
    (node,) = stack.resources()
    assert (str(node.id), node.labels) == ("node ship1", {"rack": "7"})
    with pytest.raises(DeclarationError, match="stand alone"):
        read_resources([{"kind": "node", "name": "ship1"}, {"kind": "network", "name": "front"}])
    with pytest.raises(DeclarationError, match="node ship1: role: "):
        read_resources([{"kind": "node", "name": "ship1", "role": "captain"}])
