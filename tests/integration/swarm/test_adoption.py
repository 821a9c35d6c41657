"""What `docker stack deploy` made is taken over, and what cannot be had is refused before anything is done."""

import pytest

from bayplan.errors import ConflictError, UnsupportedError
from bayplan.models import Kind
from bayplan.reconcile.plan import Action
from bayplan.runtime.swarm.checks import has_ipvs
from swarm import tasks

pytestmark = pytest.mark.host

DEPLOYED = """
version: "3.8"
services:
  web:
    image: IMAGE:1
    command: sleep 1000
    environment: {ONE: "1", TWO: "2"}
    networks: [default, back]
    volumes: [data:/data]
    configs: [text]
    stop_grace_period: 1s
    labels: {of: container}
    healthcheck: {test: [CMD, "true"], interval: 1s}
    cap_add: [NET_ADMIN]
    ports: [{target: 80, published: 8085, mode: host}]
    deploy:
      replicas: 2
      endpoint_mode: dnsrr
      labels: {of: service}
      resources: {limits: {cpus: "0.25", memory: 32M}}
      restart_policy: {condition: on-failure}
      placement: {preferences: [{spread: node.hostname}]}
networks: {back: }
volumes: {data: }
configs:
  text: {file: FILE}
"""


@pytest.fixture
def deployed(swarm, name, tmp_path):
    """A stack that Docker's own command deployed; the text that it was given."""
    (tmp_path / "text").write_text("hello")
    text = DEPLOYED.replace("IMAGE", swarm.image).replace("FILE", str(tmp_path / "text"))
    (tmp_path / "stack.yaml").write_text(text)
    swarm.hosts[0].docker("stack", "deploy", "--detach=false", "-c", str(tmp_path / "stack.yaml"), name)
    return text


def test_a_deployed_stack_is_taken_over_without_starting_a_task_anew(swarm, name, deployed):
    with swarm.hosts[0].client() as client:
        before = sorted(one["ID"] for one in tasks(client, f"{name}_web"))
    without = deployed.replace("    configs: [text]\n", "")
    plan = swarm.plan(swarm.stack(without, name))
    # Its config has no fingerprint in its name: that one is given up, and only because it is no longer declared here.
    assert [(step.resource.kind, step.action) for step in plan.steps] == [
        (Kind.SERVICE, Action.UPDATE),
        (Kind.CONFIG, Action.DELETE),
    ]
    assert [change.path for change in plan.steps[0].fields] == ["configs"]
    labelled = without.replace("of: service", "of: ours").replace("services:", "services:", 1)
    kept = swarm.stack(labelled, name)
    with swarm.hosts[0].client() as client:
        assert sorted(one["ID"] for one in tasks(client, f"{name}_web")) == before
    swarm.apply(kept)
    assert swarm.plan(kept).steps == ()
    assert name in swarm.hosts[0].docker("stack", "ls")


def test_docker_stack_sees_our_stack_as_its_own(swarm, name):
    text = DEPLOYED.replace("    configs: [text]\n", "").partition("configs:")[0]
    stack = swarm.stack(text, name)
    swarm.apply(stack)
    with swarm.hosts[0].client() as client:
        before = sorted(one["ID"] for one in tasks(client, f"{name}_web"))
    swarm.hosts[0].docker("stack", "services", name)
    swarm.hosts[0].docker("service", "update", "--detach=false", "-q", "--label-add", "more=1", f"{name}_web")
    (step,) = swarm.plan(stack).steps
    assert [change.path for change in step.fields] == ["labels[more]"]
    swarm.apply(stack)
    with swarm.hosts[0].client() as client:
        assert sorted(one["ID"] for one in tasks(client, f"{name}_web")) == before


@pytest.mark.skipif(has_ipvs(), reason="this kernel has IPVS")
def test_virtual_addresses_and_ingress_are_refused_where_the_kernel_has_no_ipvs(swarm, name):
    virtual = "services: {a: {image: IMAGE:1}}"
    with pytest.raises(UnsupportedError, match=r"docker 20.* cannot honour service.endpoint_mode vip.*no IPVS"):
        swarm.plan(swarm.stack(virtual, name))
    ingress = "services: {a: {image: IMAGE:1, ports: ['80:80']}}"
    with pytest.raises(UnsupportedError, match=r"service\.ports in mode ingress"):
        swarm.plan(swarm.stack(ingress, name))


def test_somebody_else_s_service_is_not_taken(swarm, name):
    host = swarm.hosts[0]
    host.docker("service", "create", "-q", "--detach", "--name", f"{name}_a", f"{swarm.image}:1", "sleep", "1000")
    try:
        with pytest.raises(ConflictError, match="another tool or no project"):
            swarm.plan(swarm.stack("services: {a: {image: IMAGE:1, deploy: {endpoint_mode: dnsrr}}}", name))
    finally:
        host.docker("service", "rm", f"{name}_a")
