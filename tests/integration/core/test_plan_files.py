"""Plans kept in a file on the real core: applied as shown, or refused with what moved."""

import json
import os
import stat

import pytest

from faults.core import add_image, layer

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

STACK = """
name: kept
services:
  web:
    image: lab/busybox
    command: [sleep, "600"]
    environment: {GREETING: "${GREETING:-hello}", DB_PASSWORD: "${PASSWORD:-planted-secret}"}
    stop_grace_period: 0s
    secrets: [note]
secrets: {note: {file: ./note}}
"""


@pytest.fixture
def kept(project, tmp_path):
    project.file.write_text(STACK)
    (tmp_path / "note").write_text("planted-content")
    project("apply")
    project.plan = tmp_path / "plan.json"
    project("plan", "--out", str(project.plan), GREETING="bonjour")
    return project


def refused(project, says, **variables):
    before = project("status", "--json")
    assert says in project("apply", str(project.plan), ok=False, **{"GREETING": "bonjour", **variables})
    assert project("status", "--json") == before


def test_a_kept_plan_is_applied_once(kept):
    assert stat.S_IMODE(kept.plan.stat().st_mode) == 0o600
    assert "environment[GREETING]: 'hello' -> 'bonjour'" in kept("apply", str(kept.plan), GREETING="bonjour")
    assert kept("exec", "-T", "web", "sh", "-c", "echo $GREETING") == "bonjour\n"
    refused(kept, "container kept-web-1 is not what it was (now running); container kept-web-1 is not changed any more")


def test_a_kept_plan_of_a_part_is_applied_as_that_part(kept):
    two = STACK.replace("secrets: {note", "  side: {image: lab/busybox, command: [sleep, '600']}\nsecrets: {note")
    kept.file.write_text(two)
    kept("plan", "--service", "web", "--out", str(kept.plan), GREETING="bonjour")
    assert "applied as it is, or not at all" in kept("apply", "--service", "side", str(kept.plan), ok=False)
    kept("apply", str(kept.plan), GREETING="bonjour")
    assert kept("exec", "-T", "web", "sh", "-c", "echo $GREETING") == "bonjour\n"
    assert "kept-side-1" not in kept("status")
    assert "there is no service sid (there are: side, web)" in kept("apply", "--service", "sid", ok=False)
    kept("apply", "--service", "side", GREETING="ciao")
    assert kept("exec", "-T", "web", "sh", "-c", "echo $GREETING") == "bonjour\n"
    kept.file.write_text(STACK)
    assert "container kept-side-1 is no longer declared, and orphans stay" in kept("plan", "--keep-orphans")
    kept("apply", "--keep-orphans")
    assert "kept-side-1" in kept("status")
    assert "No drift" in kept("drift")


def test_no_secret_is_in_a_kept_plan(kept):
    assert "planted" not in kept.plan.read_text()


def test_a_host_that_moved_is_refused_and_named(kept):
    kept("stop", "web")
    refused(
        kept,
        "what this plan was made on has moved: container kept-web-1 is not what it was (now exited) (make a new plan)",
    )
    kept("start", "web")
    kept("update", "--memory", "64m", "web")
    refused(kept, "container kept-web-1 is not what it was (now running)")
    kept("rm", "-f", "web")
    refused(kept, "container kept-web-1 is gone")


def test_a_declaration_that_moved_is_refused_and_named(kept, tmp_path):
    refused(kept, "the declaration of container kept-web-1", GREETING="ciao")
    # What is masked in the plan counts as well.
    refused(kept, "has moved: the declaration of container kept-web-1", PASSWORD="rotated")
    (tmp_path / "note").write_text("rotated")
    refused(kept, "the declaration of container kept-web-1")
    (tmp_path / "note").write_text("planted-content")
    kept("apply", str(kept.plan), GREETING="bonjour")


def test_an_image_that_moved_is_refused_and_named(kept):
    add_image(kept.state / "images", data=layer(files=[("new", b"new")]))
    refused(kept, "image lab/busybox is sha256:")


def test_what_is_no_plan_for_this_host_is_refused(kept, tmp_path):
    made = json.loads(kept.plan.read_text())
    for text, says in {
        "{": "this is no plan: ",
        "[]": "this is no plan of bayplan",
        json.dumps({**made, "format": 99}): "this plan was made by bayplan 0.1.0 (upgrade this one)",
        json.dumps({**made, "plan": {**made["plan"], "version": 0}}): "plans of version 0 are not applied",
        json.dumps({**made, "plan": {**made["plan"], "host": "other"}}): "this plan is for host other, and this is ",
        json.dumps({**made, "plan": {**made["plan"], "project": "x"}}): "this plan is for project x, and this is kept",
    }.items():
        kept.plan.write_text(text)
        refused(kept, says)
    kept.plan.unlink()
    refused(kept, "the plan cannot be read: No such file")


def test_a_plan_that_cannot_be_kept_is_told_by_its_name(kept, tmp_path):
    said = kept("plan", "--out", str(tmp_path / "nowhere" / "plan.json"), ok=False)
    assert f"{tmp_path}/nowhere/plan.json: the plan cannot be written: No such file or directory" in said
