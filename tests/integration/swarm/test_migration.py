"""From one host to a swarm: a project on Docker, the same file on the swarm that its engine is of, its volume kept."""

import pytest

from bayplan import app
from bayplan.errors import ConflictError
from bayplan.load.compose import load_text
from bayplan.runtime.docker import DockerRuntime
from swarm import tasks

pytestmark = pytest.mark.host

FILE = """
services:
  web:
    image: IMAGE:1
    command: [sh, -c, "echo line >> /data/lines; exec sleep 1000"]
    init: true
    stop_grace_period: 1s
    restart: always
    volumes: [data:/data]
    deploy: {endpoint_mode: dnsrr, placement: {constraints: [node.hostname == node1]}, update_config: {monitor: 0s}}
volumes: {data: }
"""


def test_a_project_moves_from_one_host_to_the_swarm_with_its_volume(swarm, name, tmp_path):
    host = swarm.hosts[0]
    settings = host.settings(engine="docker")
    one = DockerRuntime(settings)
    try:
        stack = load_text(
            FILE.replace("IMAGE", swarm.image),
            label="compose.yaml",
            project_directory=tmp_path,
            project_name=name,
            environment={},
            settings=settings,
        )
        app.apply(app.plan(stack, one), one, settings).raise_failure()
        with pytest.raises(ConflictError, match="docker"):
            app.plan(swarm.stack(FILE, name), swarm.runtime, settings=swarm.settings)
        app.apply(app.plan_destroy(name, one), one, settings).raise_failure()
        there = swarm.stack(FILE, name)
        swarm.apply(there)
        assert swarm.plan(there).steps == ()
        with host.client() as client:
            (task,) = tasks(client, f"{name}_web")
        container = task["Status"]["ContainerStatus"]["ContainerID"]
        assert host.docker("exec", container, "cat", "/data/lines").split() == ["line", "line"]
    finally:
        one.close()
