"""run: a single command in a container of its own, on the real core."""

import json
import os
import subprocess

import pytest

from .test_streams import on_terminal

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
STACK = """\
name: bpv
services:
  app:
    image: lab/busybox
    command: [sh, -c, 'echo the usual']
    stop_grace_period: 50ms
    restart: always
    environment: {A: own, B: own}
    volumes: ["data:/data"]
    ports: ["127.0.0.1:18099:80"]
    networks: {default: {ipv4_address: 10.209.77.9}}
    depends_on: {base: {condition: service_healthy}}
  base:
    image: lab/busybox
    command: [sh, -c, 'echo up > /up; exec sleep 600']
    stop_grace_period: 50ms
    healthcheck: {test: [CMD, cat, /up], interval: 100ms, retries: 50}
  other:
    image: lab/busybox
    command: [sleep, '600']
volumes: {data: {}}
networks: {default: {ipam: {config: [{subnet: 10.209.77.0/24}]}}}
"""


@pytest.fixture
def stack(bayplan):
    bayplan.file.write_text(STACK)
    return bayplan


def out(bayplan, *arguments, code=0, stdin=None):
    """Standard output alone: what a step says goes to standard error."""
    done = bayplan.popen(*arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said, errors = done.communicate(stdin, timeout=120)
    assert done.returncode == code, said + errors
    return said


def test_its_output_its_code_and_what_it_depends_on(stack):
    assert out(stack, "run", "--rm", "app", "sh", "-c", "echo $A $B; exit 7", code=7) == "own own\n"
    assert stack.states() == {"base": "running"}
    assert out(stack, "run", "--rm", "app") == "the usual\n"
    assert out(
        stack, "run", "--rm", "-e", "A=mine", "-u", "7:8", "-w", "/data", "app", "sh", "-c", "echo $A $(id -u) $PWD"
    ) == ("mine 7 /data\n")
    assert out(stack, "run", "--rm", "--entrypoint", "echo 'a b'", "app", "c") == "a b c\n"
    assert out(stack, "run", "--rm", "-T", "app", "cat", stdin="through\nall of it\n") == "through\nall of it\n"
    lines = out(stack, "run", "--rm", "app", "sh", "-c", "busybox seq 5000").split()
    assert lines == [str(number) for number in range(1, 5001)]
    assert stack.states() == {"base": "running"}


def test_an_apply_leaves_it_alone_and_destroy_takes_it_along(stack):
    stack.file.write_text(STACK.replace("echo the usual", "sleep 600"))
    name = out(stack, "run", "-d", "--name", "once", "-l", "a=b", "app", "sleep", "600").strip()
    assert name == "once"
    stack("apply")
    assert stack.status("once")["state"] == "running"
    assert "Nothing to do" in stack("plan")
    (shown,) = stack("inspect", "once", "--json")
    assert shown["Config"]["Labels"]["com.docker.compose.oneoff"] == "True"
    assert shown["Config"]["Labels"]["a"] == "b"
    assert shown["HostConfig"]["RestartPolicy"]["Name"] == "no"
    assert "exists" in stack("run", "--name", "once", "app", "true", code=2)
    # The service's own are meant by its name, and have its ports and address.
    assert stack("port", "app").strip() == "80/tcp -> 127.0.0.1:18099"
    stack("stop", "app")
    assert stack.status("once")["state"] == "running"


def test_it_is_no_generation_of_the_project(stack):
    """A drift that is healed after it removed the services, as they were not in what was applied last."""
    stack.file.write_text(STACK.replace("echo the usual", "sleep 600"))
    stack("apply")
    out(stack, "run", "other", "true")
    assert [item["number"] for item in stack("history", "--json")] == [1]
    assert "No drift" in stack("drift")
    running = stack.status("bpv-app-1")["pid"]
    stack("drift", "--heal")
    assert stack.status("bpv-app-1")["pid"] == running
    # What it depends on is made as it is declared now: a heal leaves that so, too.
    stack.file.write_text(stack.file.read_text().replace("[sh, -c, 'echo up", "[sh, -c, 'echo again; echo up"))
    out(stack, "run", "--rm", "app", "true")
    assert "No drift" in stack("drift")
    assert "again" in stack("logs", "base")
    assert stack.status("bpv-app-1")["pid"] == running


def test_volumes_are_the_service_s_and_ports_are_not_unless_asked(stack):
    out(stack, "run", "--rm", "app", "sh", "-c", "echo kept > /data/file")
    assert out(stack, "run", "--rm", "--no-deps", "app", "cat", "/data/file") == "kept\n"
    assert out(stack, "run", "--rm", "--no-deps", "-v", "data:/more:ro", "other", "cat", "/more/file") == "kept\n"
    name = out(stack, "run", "-d", "-P", "-p", "127.0.0.1:18098:81", "--no-deps", "app", "sleep", "600").strip()
    assert sorted(stack("port", name).splitlines()) == ["80/tcp -> 127.0.0.1:18099", "81/tcp -> 127.0.0.1:18098"]
    stack("rm", "-f", name)


def test_what_cannot_be_run_says_so_and_leaves_nothing(stack):
    assert "is not declared" in stack("run", "gone", "true", code=2)
    assert "is no name" in stack("run", "--name", "a b", "app", "true", code=2)
    stack("run", "--rm", "--no-deps", "app", "no-such-program", code=1)
    assert stack.states() == {}


def test_on_a_terminal_it_has_one(stack):
    script = "stty size; tty; read x; echo got:$x; exit 3"
    run = ("run", "--rm", "--no-deps", "app", "sh", "-c", script)
    said, code = on_terminal(stack, *run, typed=[(b"/dev/", b"line\n")])
    assert b"33 101" in said
    assert b"got:line" in said
    assert code == 3


def test_all_exposed_ports_are_published_on_free_ones(bayplan, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM lab/busybox\nEXPOSE 7000 7001/udp\n")
    build = {"context": str(tmp_path)}
    app = {"image": "lab/exposed", "build": build, "expose": ["7002-7003"], "command": ["sleep", "600"]}
    bayplan.file.write_text(json.dumps({"name": "bpv", "services": {"app": {**app, "stop_signal": "KILL"}}}))
    name = out(bayplan, "run", "-d", "--publish-all", "app").strip()
    ports = bayplan.status(name)["ports"]
    assert sorted(item.partition("->")[2] for item in ports) == ["7000/tcp", "7001/udp", "7002/tcp", "7003/tcp"]
    assert all(int(item.partition("->")[0].rpartition(":")[2]) > 1024 for item in ports)
    one = out(bayplan, "run", "-d", "--publish-all", "-p", "127.0.0.1:18098:7000", "app").strip()
    assert "127.0.0.1:18098->7000/tcp" in bayplan.status(one)["ports"]
    assert len(bayplan.status(one)["ports"]) == 4
