"""Replacements keep what they replace until it is no longer needed; a destroy takes nothing that is not ours."""

import pytest

from bayplan import app
from bayplan.errors import RuntimeFailureError
from bayplan.models import Kind
from bayplan.reconcile.plan import Action
from bayplan.runtime.protocol import State

pytestmark = pytest.mark.host
STACK = """
services:
  web:
    image: IMAGE
    command: [sleep, "600"]
    init: true
    stop_grace_period: 1s
    environment: {LEVEL: "1"}
    healthcheck: {test: [CMD, test, -e, /bin/sh], interval: 200ms, retries: 1}
    volumes: ["data:/data"]
    ports: ["127.0.0.1:18080:80"]
volumes: {data: {}}
"""


def test_a_successor_that_does_not_become_healthy_leaves_the_old_one(dock):
    dock.apply(STACK)
    before = dock.container("web")
    bad = STACK.replace("/bin/sh]", "/nowhere]")
    _made, outcome = app.converge(lambda: dock.plan(bad), dock.runtime, dock.settings)
    with pytest.raises(RuntimeFailureError, match="unhealthy"):
        outcome.raise_failure()
    found = dock.status()
    assert {name for name, item in found.items() if item.id.kind is Kind.CONTAINER} == {dock.name("web")}
    assert dock.container("web").handle == before.handle
    assert dock.container("web").status.state is State.RUNNING
    assert dock.plan(STACK).steps == ()


def test_a_successor_that_cannot_be_started_leaves_the_old_one(dock):
    dock.apply(STACK)
    before = dock.container("web").handle
    bad = STACK.replace('command: [sleep, "600"]', "command: [/no/such/program]").replace("init: true", "")
    _made, outcome = app.converge(lambda: dock.plan(bad), dock.runtime, dock.settings)
    with pytest.raises(RuntimeFailureError, match="no such file"):
        outcome.raise_failure()
    assert dock.container("web").handle == before
    assert dock.plan(STACK).steps == ()


def test_volumes_stay_over_replacements_and_a_destroy(dock):
    dock.apply(STACK)
    dock.sh("web", "echo kept > /data/file")
    dock.apply(STACK.replace('LEVEL: "1"', 'LEVEL: "2"'))
    assert dock.sh("web", "cat /data/file") == "kept\n"
    dock.destroy()
    dock.apply(STACK)
    assert dock.sh("web", "cat /data/file") == "kept\n"
    dock.destroy(volumes=True)
    assert dock.status() == {}


def test_a_destroy_removes_only_ours(dock):
    dock.apply(STACK)
    project = f"com.docker.compose.project={dock.project}"
    dock.engine.call("run", "-d", "--name", "stranger", "--label", project, dock.IMAGE, "sleep", "600")
    dock.engine.call("network", "create", "--label", project, "strange-net")
    dock.engine.call("volume", "create", "--label", project, "strange-data")
    plan = dock.plan(STACK)
    assert plan.steps == ()
    dock.destroy(volumes=True)
    assert dock.engine.call("ps", "-a", "--format", "{{.Names}}") == "stranger"
    assert "strange-net" in dock.engine.call("network", "ls", "--format", "{{.Name}}").split()
    assert dock.engine.call("volume", "ls", "-q") == "strange-data"


def test_what_is_no_longer_declared_goes_but_for_data(dock):
    more = STACK + "networks: {default: {}}\n"
    dock.apply(
        more.replace(
            "volumes: {data: {}}", "  extra: {image: IMAGE, command: [sleep, '9'], init: true}\nvolumes: {data: {}}"
        )
    )
    made = dock.apply(STACK.replace('    volumes: ["data:/data"]\n', ""))
    assert {(step.resource.name, step.action) for step in made.steps} == {
        (dock.name("extra"), Action.DELETE),
        (dock.name("web"), Action.RECREATE),
    }
    assert made.kept == (f"volume {dock.project}_data is no longer declared; data is never removed unasked",)


def test_what_was_killed_in_a_replacement_is_cleared_by_the_next_apply(dock):
    dock.apply(STACK)
    aside = dock.runtime.supersede(dock.name("web"))
    assert dock.status()[aside].superseded
    made = dock.apply(STACK)
    assert {(step.resource.name, step.action) for step in made.steps} == {
        (aside, Action.DELETE),
        (dock.name("web"), Action.CREATE),
    }


def test_a_create_that_was_cut_before_its_secrets_is_made_anew(dock, monkeypatch):
    from bayplan.runtime.engine_api import grants

    def cut(*_):
        raise OSError("cut")

    text = STACK.replace("    init: true", "    init: true\n    secrets: [key]") + "secrets: {key: {content: geheim}}\n"
    with monkeypatch.context() as patch:
        patch.setattr(grants, "put", cut)
        _made, outcome = app.converge(lambda: dock.plan(text), dock.runtime, dock.settings)
        assert outcome.failed
    assert dock.container("web").status.state is State.INCOMPLETE
    dock.apply(text)
    assert dock.sh("web", "cat /run/secrets/key") == "geheim"
