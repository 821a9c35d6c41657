"""What runs on the core is written as a Compose file by the command, and that file plans to nothing."""

import json
import os

import pytest
import yaml

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
STACK = """
name: kept
services:
  db:
    image: lab/busybox
    command: [sh, -c, 'echo "$$DB_PASSWORD" > /data/p; exec sleep 600']
    environment: {DB_PASSWORD: planted-secret, GREETING: "five $$"}
    stop_grace_period: 0s
    networks: {back: {aliases: [sql]}}
    volumes: ["data:/data", {type: tmpfs, target: /scratch, tmpfs: {size: 1m}}]
    healthcheck: {test: [CMD, "true"], interval: 50ms}
    secrets: [note]
    mem_limit: 64m
  web:
    image: lab/busybox
    command: [sh, -c, 'exec sleep 600']
    scale: 2
    stop_grace_period: 0s
    networks: [front, back]
    ports: ["127.0.0.1:0:7000"]
    restart: on-failure:2
    depends_on: {db: {condition: service_healthy}}
networks:
  front: {}
  back: {internal: true}
volumes: {data: {}}
secrets: {note: {file: ./note}}
"""


def test_apply_adopt_plan_is_empty(project, tmp_path):
    project.file.write_text(STACK)
    (tmp_path / "note").write_text("planted-content")
    project("apply")
    before = {item["name"]: item["pid"] for item in json.loads(project("status", "--json"))}
    file = tmp_path / "adopted.yaml"
    said = project("adopt", "-o", str(file))
    assert "Left to the environment, as it may be secret: DB_PASSWORD (service db)" in said
    assert "Nothing to do: 7 resources are as declared." in said
    text = file.read_text()
    assert "planted" not in text + said
    declared = yaml.safe_load(text)["services"]
    assert declared["web"].keys() == {
        *("image", "command", "scale", "stop_grace_period", "networks", "ports", "restart", "depends_on")
    }, "no default of image or engine"
    # The file alone, and what it names: the same stack.
    project.file.write_text(text)
    assert "required variable DB_PASSWORD" in project("plan", ok=False)
    assert json.loads(project("plan", "--json", DB_PASSWORD="planted-secret"))["steps"] == []
    assert "Nothing to do" in project("apply", DB_PASSWORD="planted-secret")
    project.file.write_text(STACK)
    assert {item["name"]: item["pid"] for item in json.loads(project("status", "--json"))} == before
    assert "the file is there already" in project("adopt", "-o", str(file), ok=False)
    assert "no container of nobody, none" in project("adopt", "nobody", "none", ok=False)
    assert "which the file would not declare: kept-web-1, kept-web-2" in project("adopt", "kept-db-1", ok=False)
