"""A declaration that spells out what image and core give anyway is recorded, and replaces nothing."""

import json
import os

import pytest

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

PLAIN = """\
name: plain
services:
  app:
    image: lab/busybox
    command: [sleep, "600"]
    stop_grace_period: 0s
    volumes: ["./bound:/bound", "data:/data"]
    healthcheck: {test: [CMD, "true"], interval: 30s}
volumes: {data: {}}
"""
SPELLED = PLAIN.replace(
    "    volumes:",
    """\
    profiles: []
    working_dir: /
    user: ""
    environment: {PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    stop_signal: SIGTERM
    runtime: crun
    shm_size: 64m
    ipc: private
    cgroup: private
    cap_add: [CHOWN]
    security_opt: ["no-new-privileges:true"]
    logging: {driver: json-file}
    pids_limit: 2048
    volumes:""",
).replace('"./bound:/bound"', "{type: bind, source: ./bound, target: /bound, bind: {create_host_path: true}}")


def state_of(project):
    found = json.loads(project("inspect", "app"))[0]
    return found["State"]["Pid"], found["State"]["Health"]["Status"]


def test_what_is_the_default_anyway_replaces_nothing(project):
    (project.file.parent / "bound").mkdir()
    project.file.write_text(PLAIN)
    project("apply")
    before = state_of(project)
    subnet = json.loads(project("network", "inspect", "plain_default"))[0]["IPAM"]["Config"][0]
    pinned = (
        f"networks: {{default: {{ipam: {{config: [{{subnet: {subnet['Subnet']}, gateway: {subnet['Gateway']}}}]}}}}}}"
    )
    project.file.write_text(f"{SPELLED}{pinned}\n")
    shown = json.loads(project("plan", "--json"))
    assert shown["steps"] == []
    noted = {item["resource"]["name"]: [field["how"] for field in item["fields"]] for item in shown["noted"]}
    assert set(noted) == {"plain-app-1", "plain_default"}
    assert {how for ways in noted.values() for how in ways} == {"none"}
    said = project("apply")
    assert "pids_limit" in said
    assert "nothing changes on the host" in said
    assert state_of(project) == before == (before[0], "healthy")
    assert project("plan").startswith("Nothing to do")
    assert "No drift" in project("drift")
    # Left out again it is as before; another value is a change as ever.
    project.file.write_text(PLAIN)
    project("apply", "--on-failure", "keep")
    project.file.write_text(PLAIN.replace("    volumes:", "    shm_size: 65m\n    volumes:"))
    (step,) = json.loads(project("plan", "--json"))["steps"]
    assert step["action"] == "re-create"
    assert [field["path"] for field in step["fields"]] == ["shm_size"]
