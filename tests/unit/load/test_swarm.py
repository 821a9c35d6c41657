"""Compose files read for a swarm, and files of nodes: names as docker stack deploy has them, faults at their lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from bayplan.errors import DeclarationError, NotBuiltYetError
from bayplan.load.compose import load_text
from bayplan.load.nodes import load_nodes
from bayplan.models import Duration, Settings
from bayplan.models.swarm import RollbackPolicy, SwarmStack, TaskRestart, UpdatePolicy


def read(text: str, **environment: str) -> SwarmStack:
    stack = load_text(
        text,
        label="compose.yaml",
        project_directory=Path("/"),
        project_name="shop",
        environment=environment,
        settings=Settings(engine="swarm"),
    )
    assert isinstance(stack, SwarmStack)
    return stack


def test_names_and_labels_are_those_of_docker_stack() -> None:
    stack = read(
        "services: {web: {image: x, secrets: [pw], configs: [c], networks: [front, other]}}\n"
        "networks: {front: , other: {external: true}, unused: }\n"
        "secrets: {pw: {environment: PW}, unused: {environment: PW}}\n"
        "configs: {c: {name: given, content: text}}\n",
        PW="word",
    )
    (web,) = stack.services
    assert (web.name, web.service) == ("shop_web", "web")
    assert web.container_labels == {"com.docker.stack.namespace": "shop"}
    assert [(one.network, one.aliases) for one in web.networks] == [("other", ("web",)), ("shop_front", ("web",))]
    assert [(one.name, one.external) for one in stack.overlays] == [("shop_front", False), ("other", True)]
    assert [one.name for one in stack.secrets] == ["shop_pw"]
    assert [one.name for one in stack.configs] == ["given"]
    assert stack.containers == ()
    assert stack.networks == ()


def test_a_content_is_in_the_name_of_its_version_also_where_it_is_used() -> None:
    text = "services: {a: {image: x, secrets: [pw]}}\nsecrets: {pw: {environment: PW}}\n"
    names = set()
    for key, word in ((b"1", "hush"), (b"1", "two"), (b"2", "hush")):
        sealed = read(text, PW=word).sealed(key)
        (secret,) = sealed.secrets
        assert sealed.services[0].secrets[0].source == secret.name
        assert secret.name.startswith("shop_pw-")
        names.add(secret.name)
    assert len(names) == 3
    assert "hush" not in sealed.model_dump_json()
    assert "hush" not in repr(sealed)


def test_deploy_is_read_whole() -> None:
    (web,) = read(
        "services:\n  web:\n    image: x\n    deploy:\n"
        "      replicas: 3\n      endpoint_mode: dnsrr\n"
        "      placement: {constraints: [a==b], preferences: [{spread: node.labels.z}], max_replicas_per_node: 2}\n"
        "      resources: {limits: {cpus: '0.5', memory: 1g, pids: 9}, reservations: {cpus: 1, memory: 1m,"
        " generic_resources: [{discrete_resource_spec: {kind: gpu, value: 2}}]}}\n"
        "      restart_policy: {condition: on-failure, delay: 1s, max_attempts: 2, window: 1m}\n"
        "      update_config: {parallelism: 2, delay: 3s, monitor: 1s, max_failure_ratio: 0.5, order: start-first}\n"
        "      rollback_config: {parallelism: 0, failure_action: continue}\n"
    ).services
    assert (web.replicas, web.endpoint_mode, web.mode) == (3, "dnsrr", "replicated")
    assert web.placement.model_dump() == {
        "constraints": ("a==b",),
        "spread": ("node.labels.z",),
        "max_replicas_per_node": 2,
    }
    assert (web.limits.cpus, web.limits.memory, web.limits.pids) == (0.5, 2**30, 9)
    assert (web.reservations.cpus, web.reservations.memory, web.reservations.generic) == (1, 2**20, {"gpu": 2})
    assert web.restart == TaskRestart(
        condition="on-failure", delay=Duration(seconds=1), max_attempts=2, window=Duration(minutes=1)
    )
    assert web.update == UpdatePolicy(
        parallelism=2,
        delay=Duration(seconds=3),
        monitor=Duration(seconds=1),
        max_failure_ratio=0.5,
        order="start-first",
        failure_action="rollback",
    )
    assert web.rollback == RollbackPolicy(parallelism=0, failure_action="continue")


def test_what_a_file_for_one_host_says_is_read_as_far_as_it_means_the_same() -> None:
    (web,) = read(
        "services: {web: {image: x, mem_limit: 32m, cpus: 0.5, restart: 'on-failure:3', scale: 2,"
        " container_name: n, expose: ['80'], build: ., network_mode: host}}"
    ).services
    assert (web.limits.memory, web.limits.cpus, web.replicas) == (32 * 2**20, 0.5, 2)
    assert (web.restart.condition, web.restart.max_attempts) == ("on-failure", 3)
    assert [one.network for one in web.networks] == ["host"]


def test_ports_are_in_mode_ingress_unless_they_say_host() -> None:
    (web,) = read(
        "services: {web: {image: x, ports: ['8080:80', '53:53/udp', {target: 443, published: 443, mode: host}]}}"
    ).services
    assert [str(port) for port in web.ports] == ["ingress:8080->80/tcp", "ingress:53->53/udp", "host:443->443/tcp"]


FAULTS = {
    "privileged": ("    privileged: true\n", 4, "no such option"),
    "shared memory": ("    shm_size: 1g\n", 4, "tmpfs at /dev/shm"),
    "address": ("    networks: {default: {ipv4_address: 10.0.0.9}}\n", 4, "their addresses"),
    "host address": ("    ports: ['127.0.0.1:80:80']\n", 4, "every address of its nodes"),
    "range": ("    ports: ['80-90:80']\n", 4, "no range"),
    "another's network": ("    network_mode: service:b\n", 4, "no other container's network"),
    "global replicas": ("    deploy: {mode: global, replicas: 2}\n", 4, "a task on each node"),
    "unknown mode": ("    deploy: {mode: some}\n", 4, "replicated"),
    "unknown action": ("    deploy: {update_config: {failure_action: sigh}}\n", 4, "pause"),
    "typing error": ("    deploy: {update_conf: {}}\n", 4, "did you mean 'update_config'"),
    "ingress without addresses": ("    deploy: {endpoint_mode: dnsrr}\n    ports: ['80:80']\n", None, "use mode: host"),
    "end of a service": (
        "    depends_on: {b: {condition: service_completed_successfully}}\n  b: {image: x}\n",
        4,
        "does not end",
    ),
    "made directory": (
        "    volumes: [{type: bind, source: /x, target: /x, bind: {create_host_path: true}}]\n",
        4,
        "make no directory /x",
    ),
    "network of one host": ("    networks: [n]\nnetworks: {n: {driver: bridge}}\n", 5, "need an overlay"),
    "contradiction": ("    scale: 3\n    deploy: {replicas: 2}\n", 4, "contradicts deploy.replicas"),
    "undeclared secret": ("    secrets: [gone]\n", 4, "'gone' is not declared"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_a_swarm_cannot_do_is_named_at_its_line(name: str) -> None:
    text, line, what = FAULTS[name]
    with pytest.raises(DeclarationError, match=what) as caught:
        read(f"services:\n  a:\n    image: x\n{text}")
    if line is not None:
        assert str(caught.value).startswith(f"compose.yaml:{line}: ")


def test_jobs_are_not_built_yet() -> None:
    with pytest.raises(NotBuiltYetError, match="jobs"):
        read("services: {a: {image: x, deploy: {mode: replicated-job}}}")


def test_an_image_that_only_we_could_build_is_refused() -> None:
    with pytest.raises(DeclarationError, match="nodes cannot pull what has no name"):
        read("services: {a: {build: .}}")


def test_nodes_are_read_with_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "swarm.yaml"
    file.write_text(
        "nodes:\n"
        "  a: {role: manager, address: 'ssh://${USER_NAME}@a', advertise: 10.0.0.1}\n"
        "  b: {labels: {disk: ssd}, availability: drain}\n"
        "  c: {state: absent}\n"
        "  d:\n"
    )
    stack, absent = load_nodes(file, {"USER_NAME": "root"})
    assert [(one.name, one.role, one.availability) for one in stack.nodes] == [
        ("a", "manager", "active"),
        ("b", "worker", "drain"),
        ("d", "worker", "active"),
    ]
    assert stack.nodes[0].address == "ssh://root@a"
    assert [str(item) for item in absent] == ["node c"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("nodes:\n  a: {role: captain}\n", "swarm.yaml:2: .*captain"),
        ("nodes:\n  a:\n    state: gone\n", "swarm.yaml:3: .*present or absent"),
        ("nodes:\n  a: {adress: x}\n", "did you mean 'address'"),
        ("hosts: {}\n", "unknown key 'hosts'"),
        ("nodes: {}\n", "declares no nodes"),
        ("", "one document"),
    ],
)
def test_faults_of_a_file_of_nodes(text: str, what: str, tmp_path: Path) -> None:
    file = tmp_path / "swarm.yaml"
    file.write_text(text)
    with pytest.raises(DeclarationError, match=what):
        load_nodes(file, {})
