"""Secrets, hooks and waiting on a real dockerd."""

import json

import pytest

from bayplan import app
from bayplan.errors import RuntimeFailureError, UnsupportedError
from bayplan.models import Duration
from bayplan.reconcile.plan import Action
from bayplan.runtime.protocol import State

pytestmark = pytest.mark.host
GIVEN = """
services:
  web:
    image: IMAGE
    command: [sleep, "600"]
    init: true
    stop_grace_period: 1s
    user: "1000:1000"
    secrets: [typed, {source: kept, target: /etc/kept, uid: "1000", gid: "5", mode: 0400}]
    configs: [{source: written, target: /deep/er/written}]
secrets: {typed: {environment: TYPED}, kept: {file: ./kept.txt}}
configs: {written: {content: "hello"}}
"""


@pytest.fixture
def given(dock, monkeypatch):
    monkeypatch.setenv("TYPED", "geheim")
    (dock.root / "kept.txt").write_text("streng geheim\n")
    (dock.root / "kept.txt").chmod(0o600)
    dock.apply(GIVEN)
    return dock


def test_secrets_are_files_with_owner_and_mode_and_nowhere_else(given):
    look = "cat /run/secrets/typed /etc/kept /deep/er/written; stat -c %u:%g:%a /run/secrets/typed /etc/kept"
    assert given.sh("web", look) == "geheimstreng geheim\nhello0:0:444\n1000:5:400\n"
    shown = given.engine.call("inspect", given.name("web"))
    assert "geheim" not in shown
    assert "geheim" not in json.dumps(given.runtime.inspect(given.name("web")), default=str)
    assert b"geheim" not in b"".join(path.read_bytes() for path in (given.root / "state").iterdir())


def test_a_secret_that_changed_is_given_anew(given, monkeypatch):
    monkeypatch.setenv("TYPED", "neu")
    (step,) = given.plan(GIVEN).steps
    assert step.action is Action.RECREATE
    assert "neu" not in str(step.fields)
    given.apply(GIVEN)
    assert given.sh("web", "cat /run/secrets/typed") == "neu"


LOCKED = """
services:
  web: {image: IMAGE, command: [sleep, "600"], init: true, stop_grace_period: 1s, read_only: true, secrets: [GIVEN]}
secrets: {kept: {file: ./kept.txt}}
"""


def test_with_a_read_only_root_files_are_bound(dock):
    (dock.root / "kept.txt").write_text("kept\n")
    text = LOCKED.replace("GIVEN", "kept")
    dock.apply(text)
    assert dock.sh("web", "cat /run/secrets/kept") == "kept\n"
    (dock.root / "kept.txt").write_text("new\n")
    assert [step.action for step in dock.apply(text).steps] == [Action.RECREATE]
    with pytest.raises(UnsupportedError, match=r"container.secrets\[kept\]: with read_only"):
        dock.plan(LOCKED.replace("GIVEN", "{source: kept, uid: '5'}"))


HOOKED = """
services:
  web:
    image: IMAGE
    command: [sleep, "600"]
    init: true
    stop_grace_period: 1s
    volumes: ["data:/data"]
    post_start: [{command: [sh, -c, "echo started >> /data/log; START"]}]
    pre_stop: [{command: [sh, -c, "echo stopping >> /data/log"], user: "0"}]
volumes: {data: {}}
"""


def test_hooks_are_run_at_our_starts_and_stops(dock):
    text = HOOKED.replace("START", "true")
    dock.apply(text)
    dock.runtime.stop(dock.name("web"))
    dock.apply(text)
    dock.apply(text.replace("init: true", "init: true\n    tty: true"))
    assert dock.sh("web", "cat /data/log").split() == ["started", "stopping", "started", "stopping", "started"]


def test_a_hook_that_fails_ends_it_and_says_what_it_wrote(dock):
    _, outcome = app.converge(
        lambda: dock.plan(HOOKED.replace("START", "echo no; exit 3")), dock.runtime, dock.settings
    )
    with pytest.raises(RuntimeFailureError, match="gave exit code 3") as caught:
        outcome.raise_failure()
    assert caught.value.output == "no\n"
    assert dock.container("web").status.state is State.EXITED


def test_hooks_are_changed_without_a_new_container(dock):
    text = HOOKED.replace("START", "true")
    dock.apply(text)
    assert [step.action for step in dock.apply(text.replace("echo stopping", "echo ending")).steps] == [Action.UPDATE]
    dock.runtime.stop(dock.name("web"))
    dock.apply(text.replace("echo stopping", "echo ending"))
    assert dock.sh("web", "cat /data/log").split() == ["started", "ending", "started"]


WAITING = """
services:
  once: {image: IMAGE, command: [sh, -c, "COMMAND"], restart: POLICY}
  web:
    image: IMAGE
    command: [sleep, "600"]
    init: true
    depends_on: {once: {condition: service_completed_successfully}}
"""


@pytest.mark.parametrize(
    ("command", "policy", "match"),
    [
        ("echo fatal; exit 3", "'no'", "ended with exit code 3"),
        ("echo fatal; exit 3", "'on-failure:2'", "ended with exit code 3"),
        ("echo fatal; exit 3", "on-failure", "ended with exit code 3 again and again"),
    ],
)
def test_a_dependency_that_fails_is_told_with_its_last_lines(dock, command, policy, match):
    text = WAITING.replace("COMMAND", command).replace("POLICY", policy)
    _, outcome = app.converge(lambda: dock.plan(text), dock.runtime, dock.settings)
    with pytest.raises(RuntimeFailureError, match=match) as caught:
        outcome.raise_failure()
    assert "fatal" in caught.value.output


def test_a_dependency_that_has_ended_well_is_enough(dock):
    text = WAITING.replace("COMMAND", "exit 0").replace("POLICY", "on-failure")
    dock.apply(text)
    assert dock.container("once").status.state is State.EXITED
    with pytest.raises(UnsupportedError, match="needs a health check"):
        dock.runtime.wait(dock.name("web"), "service_healthy", Duration(seconds=1))
