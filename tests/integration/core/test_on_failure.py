"""A stack whose apply fails on the way: taken back to the generation before, or left, on the real core."""

import json

import pytest

pytestmark = pytest.mark.host
STACK = """\
name: bpf
services:
  store:
    image: lab/busybox
    command: [sh, -c, 'echo "$$WORD" > /data/word; exec sleep 600']
    environment: {WORD: one, API_TOKEN: "${TOKEN}"}
    volumes: ["data:/data"]
    stop_grace_period: 50ms
  web:
    image: lab/busybox
    command: [sh, -c, 'sleep 0.2; exec sleep 600']
    healthcheck: {test: [CMD, "true"], interval: 100ms}
    stop_grace_period: 50ms
    depends_on: [store]
volumes: {data: {}}
"""
BAD = (
    STACK.replace("WORD: one", "WORD: two")
    .replace("sleep 0.2; exec sleep 600", "echo it broke; exit 4")
    .replace(
        "volumes: {data: {}}",
        "  extra: {image: lab/busybox, command: [sleep, '600'], stop_grace_period: 50ms}\nvolumes: {data: {}}",
    )
)


def found(project):
    return {item["name"]: item for item in json.loads(project("status", "--json")) if item["kind"] == "container"}


def environment(project, service, name):
    return project("exec", "-T", service, "sh", "-c", f"echo ${name}").strip()


def test_a_stack_that_fails_in_the_middle_goes_back_to_the_generation_before(project):
    project.file.write_text(STACK)
    project("apply", TOKEN="first")
    web = found(project)["bpf-web-1"]["id"]
    project.file.write_text(BAD)
    said = project("apply", ok=False, TOKEN="second")
    assert "ended with exit code 4" in said
    assert "it broke" in said
    assert "rolled back to generation 1" in said
    there = found(project)
    assert {name: item["state"] for name, item in there.items()} == {"bpf-store-1": "running", "bpf-web-1": "running"}
    assert there["bpf-web-1"]["id"] == web
    assert environment(project, "store", "WORD") == "one"
    assert environment(project, "store", "API_TOKEN") == "first"
    history = json.loads(project("history", "--json"))
    assert "rollback to generation 1" in history[0]["changes"]
    project.file.write_text(STACK)
    assert "Nothing to do" in project("apply", TOKEN="first")
    # Told to keep it, it stays as far as it came; so does the first one of a project, that has nothing before it.
    project.file.write_text(BAD)
    said = project("apply", "--on-failure", "keep", "--json", ok=False, TOKEN="second")
    assert '"rolled_back": null' in said
    assert "rolled back" not in project("apply", ok=False, TOKEN="second", BAYPLAN_ON_FAILURE="keep")
    assert environment(project, "store", "WORD") == "two"
    assert found(project)["bpf-web-1"]["id"] == web


WAITING = """\
name: bpf
services:
  slow:
    image: lab/busybox
    command: [sleep, "600"]
    stop_grace_period: 50ms
    healthcheck: {test: [CMD, cat, /never], interval: 100ms, retries: 100000}
  broken:
    image: lab/busybox
    command: [sh, -c, 'sleep 1; echo it broke; exit 4']
    healthcheck: {test: [CMD, cat, /never], interval: 100ms, retries: 100000}
  user:
    image: lab/busybox
    command: [sleep, "600"]
    depends_on: {slow: {condition: service_healthy}, broken: {condition: service_healthy}}
  late:
    image: lab/busybox
    command: [sleep, "600"]
    depends_on: {slow: {condition: service_healthy}}
"""


def test_the_first_dependency_that_ends_ends_all_waiting_and_a_first_apply_stays_as_it_is(project):
    """Waited for one after the other, or to the end, this would take the hours that the slow one has."""
    project.file.write_text(WAITING)
    said = project("apply", ok=False)
    assert "container bpf-broken-1 did not become healthy: container bpf-broken-1 ended with exit code 4" in said
    assert "it broke" in said
    assert "Not started: container bpf-late-1" in said
    assert "rolled back" not in said
    there = found(project)
    assert set(there) == {"bpf-slow-1", "bpf-broken-1"}
    assert there["bpf-slow-1"]["health"] == "starting"


def test_a_rollback_that_fails_too_says_both(project):
    project.file.write_text(STACK)
    marker = project.file.parent / "marker"
    marker.write_text("")
    bound = STACK.replace('volumes: ["data:/data"]', f'volumes: ["data:/data", "{marker}:/marker"]')
    project.file.write_text(bound)
    project("apply", TOKEN="x")
    marker.unlink()
    project.file.write_text(BAD)
    said = project("apply", ok=False, TOKEN="x")
    assert "it broke" in said
    assert "the rollback to generation 1 failed too" in said
    assert "marker" in said
