"""The command itself on a swarm: nodes, stacks, logs, and one clear message for what is wrong."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from swarm import hosts, tasks

pytestmark = pytest.mark.host

COMPOSE = """
services:
  web:
    image: IMAGE:1
    command: [sh, -c, "echo hello; exec sleep 1000"]
    init: true
    stop_grace_period: 1s
    deploy: {replicas: 2, endpoint_mode: dnsrr, update_config: {monitor: 0s}}
"""


def bayplan(host, *arguments, code=0):
    """What the command prints; its streams as one."""
    state = str(host.root / "command")
    settings = {"BAYPLAN_STATE_ROOT": state, "BAYPLAN_RUN_ROOT": state, "BAYPLAN_CONFIG": "/nonexistent"}
    done = subprocess.run(  # noqa: PLW1510 - looked at below
        [sys.executable, "-m", "bayplan", "-H", host.place, *arguments],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def test_a_stack_is_applied_shown_and_removed(swarm, name, tmp_path):
    host = swarm.hosts[0]
    file = tmp_path / "compose.yaml"
    file.write_text(COMPOSE.replace("IMAGE", swarm.image))
    of_stack = ["--engine", "swarm", "-f", str(file), "-p", name]
    assert "2 to create" in bayplan(host, *of_stack, "apply")
    assert "Nothing to do" in bayplan(host, *of_stack, "plan", "--detailed-exitcode")
    assert f"service   {name}_web" in bayplan(host, *of_stack, "status")
    assert "Nothing to do" in bayplan(host, "-f", str(file), "-p", name, "plan")  # who has the project is found
    assert bayplan(host, *of_stack, "logs", "web").count("hello") == 2
    refused = bayplan(host, *of_stack, "exec", "web", "true", code=2)
    assert "Error: " in refused
    assert "2 to delete" in bayplan(host, "--engine", "swarm", "-p", name, "destroy")


def test_a_rollback_goes_back_to_an_earlier_generation(swarm, name, tmp_path):
    host = swarm.hosts[0]
    file = tmp_path / "compose.yaml"
    of_stack = ["--engine", "swarm", "-f", str(file), "-p", name]
    for tag in ("1", "2"):
        file.write_text(COMPOSE.replace("IMAGE:1", f"{swarm.image}:{tag}"))
        bayplan(host, *of_stack, "apply")
    said = bayplan(host, *of_stack, "rollback")
    assert f"update    service {name}_web" in said
    assert "pull" not in said
    assert "No drift" in bayplan(host, *of_stack, "drift")
    with host.client() as client:
        (image,) = {one["Spec"]["ContainerSpec"]["Image"] for one in tasks(client, f"{name}_web")}
    assert image.startswith(f"{swarm.image}:1@sha256:")
    assert f"update    service {name}_web" in bayplan(host, *of_stack, "plan")


def test_a_plan_that_was_saved_is_applied_as_it_was_shown(swarm, name, tmp_path):
    host = swarm.hosts[0]
    file, kept = tmp_path / "compose.yaml", tmp_path / "plan.json"
    file.write_text(COMPOSE.replace("IMAGE", swarm.image))
    of_stack = ["--engine", "swarm", "-f", str(file), "-p", name]
    bayplan(host, *of_stack, "plan", "--out", str(kept))
    assert "2 to create" in bayplan(host, *of_stack, "apply", str(kept))
    assert "Nothing to do" in bayplan(host, *of_stack, "plan")
    bayplan(host, *of_stack, "apply", str(kept), code=4)


def test_a_swarm_is_made_of_one_host_and_left_again(tmp_path):
    with hosts(1) as (host,):
        file = tmp_path / "compose.yaml"
        file.write_text(COMPOSE.replace("IMAGE", "busybox"))
        in_none = bayplan(host, "--engine", "swarm", "-f", str(file), "plan", code=2)
        assert "this engine is in no swarm" in in_none
        assert "bayplan swarm apply" in in_none
        nodes = tmp_path / "swarm.yaml"
        nodes.write_text(f"nodes: {{{host.name}: {{role: manager, advertise: {host.address}, labels: {{a: b}}}}}}\n")
        assert "1 to create" in bayplan(host, "swarm", "apply", str(nodes))
        assert "Nothing to do" in bayplan(host, "swarm", "plan", str(nodes))
        assert "a=b" in bayplan(host, "swarm", "ls")
        nodes.write_text(f"nodes: {{{host.name}: {{state: absent}}}}\n")
        assert "1 to delete" in bayplan(host, "swarm", "apply", str(nodes))
        assert "Nothing to do" in bayplan(host, "swarm", "plan", str(nodes))
        host.kill()
        gone = bayplan(host, "swarm", "plan", str(nodes), code=3)
        assert "nobody answers" in gone


@contextmanager
def applying(host, file, name):
    """An apply under way that has made the project's service and waits for its tasks."""
    state = str(host.root / "command")
    settings = {"BAYPLAN_STATE_ROOT": state, "BAYPLAN_RUN_ROOT": state, "BAYPLAN_CONFIG": "/nonexistent"}
    command = [sys.executable, "-m", "bayplan", "-H", host.place, "--engine", "swarm", "-f", str(file), "-p", name]
    with subprocess.Popen(
        [*command, "apply"],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        while f"{name}_a" not in host.docker("service", "ls"):
            time.sleep(0.1)
        yield running


def test_an_engine_that_stops_in_the_middle_is_told_once_and_the_next_apply_goes_on(tmp_path):
    with hosts(1) as (host,):
        nodes = tmp_path / "swarm.yaml"
        nodes.write_text(f"nodes: {{{host.name}: {{role: manager, advertise: {host.address}}}}}\n")
        bayplan(host, "swarm", "apply", str(nodes))
        file = tmp_path / "compose.yaml"
        # Its image is nowhere: the wait for its tasks is where the engine is stopped.
        file.write_text("services: {a: {image: lab/none, pull_policy: never, deploy: {endpoint_mode: dnsrr}}}")
        with applying(host, file, "mid") as running:
            host.kill()
            said = running.stdout.read()
        assert running.returncode == 3, said
        assert said.count("Error: ") == 1
        host.boot()
        host.up()
        again = bayplan(host, "--engine", "swarm", "-f", str(file), "-p", "mid", "plan")
        assert "Nothing to do" in again
        assert "Warning: service mid_a: 0 of 1 tasks run" in again


def test_an_apply_that_is_interrupted_says_what_goes_on(swarm, name, tmp_path):
    host = swarm.hosts[0]
    file = tmp_path / "compose.yaml"
    patient = "deploy: {endpoint_mode: dnsrr, update_config: {monitor: 10m}}"
    file.write_text(f"services: {{a: {{image: '{swarm.image}:1', command: sleep 1000, init: true, {patient}}}}}")
    with applying(host, file, name) as running:
        running.send_signal(signal.SIGINT)
        said = running.stdout.read()
    assert running.returncode == 3, said
    assert "the swarm carries the change on" in said
    assert "Nothing to do" in bayplan(host, "--engine", "swarm", "-f", str(file), "-p", name, "plan")
