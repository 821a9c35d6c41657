"""What runs on a real Docker is written as a Compose file, and the plan of that file changes nothing."""

import pytest

from bayplan import app
from bayplan.app import adopt

pytestmark = pytest.mark.host

RUNS = {
    "plain": ["IMAGE", "sleep", "600"],
    "many": [
        *("-e", "GREETING=$hello", "-e", "DB_PASSWORD=planted-secret", "-l", "team=blue", "-p", "127.0.0.1::7000"),
        *("--memory", "64m", "--cpus", "0.5", "--pids-limit", "50", "--restart", "on-failure:3", "--init"),
        *("-v", "adopt_named:/data", "-v", "/etc/hostname:/h:ro", "--tmpfs", "/scratch:size=1m,mode=700"),
        *("--network", "adopt_net", "--network-alias", "shop", "--ip", "10.98.7.9", "-u", "7:8", "-w", "/tmp"),
        *("--cap-drop", "ALL", "--cap-add", "CHOWN", "--read-only", "--sysctl", "net.ipv4.ip_default_ttl=33"),
        *("--health-cmd", "true", "--health-interval", "1h", "--stop-timeout", "1", "--add-host", "far:192.0.2.7"),
        *("--dns", "192.0.2.53", "--log-opt", "max-size=1m", "--ulimit", "nofile=333", "--hostname", "chosen"),
        *("IMAGE", "sleep", "600"),
    ],
    "hosted": ["--network", "host", "--entrypoint", "/bin/sh", "IMAGE", "-c", "exec sleep 600"],
}


@pytest.fixture
def run(dock):
    dock.apply("services: {seed: {image: IMAGE, command: [sleep, '600'], init: true, stop_grace_period: 1s}}")
    dock.destroy()
    dock.engine.call("network", "create", "--subnet", "10.98.7.0/24", "adopt_net")
    made = []

    def start(name, argv):
        words = [word.replace("IMAGE", dock.IMAGE) for word in argv]
        dock.engine.call("run", "-d", "--name", name, *words)
        made.append(name)

    yield start
    for name in made:
        dock.engine.call("rm", "-f", name)
    dock.engine.call("network", "rm", "adopt_net")
    dock.engine.call("volume", "rm", "-f", "adopt_named")


def test_containers_of_docker_run_are_written_and_nothing_would_change(dock, run, tmp_path):
    for name, argv in RUNS.items():
        run(name, argv)
    found = adopt.adopt(list(RUNS), "mine", dock.runtime, dock.settings, tmp_path)
    steps = [(str(one.resource), one.why, one.fields) for one in found.plan.steps]
    assert steps == [], found.written.text
    assert found.written.left_out == ()
    text = found.written.text
    assert "planted-secret" not in text
    assert "DB_PASSWORD: ${DB_PASSWORD:?}" in text
    assert "GREETING: $$hello" in text
    for default in ("stdin_open", "tty", "privileged: false", "shm_size", "ipc", "cgroup"):
        assert default not in text
    # Taken over as it is, nothing is started anew.
    before = {name: dock.engine.call("inspect", "-f", "{{.State.Pid}}", name) for name in RUNS}
    app.apply(found.plan, dock.runtime, dock.settings).raise_failure()
    assert {name: dock.engine.call("inspect", "-f", "{{.State.Pid}}", name) for name in RUNS} == before
    again = adopt.adopt([], "mine", dock.runtime, dock.settings, tmp_path)
    assert (again.project, again.plan.steps, again.plan.noted) == ("mine", (), ())


def test_a_stack_of_ours_and_a_secret_of_a_file(dock, tmp_path):
    (tmp_path / "key").write_text("content")
    text = f"""
    services:
      web:
        image: IMAGE
        command: [sleep, "600"]
        init: true
        scale: 2
        stop_grace_period: 1s
        networks: {{back: {{aliases: [shop]}}}}
        secrets: [key]
        volumes: [data:/data]
    networks: {{back: {{ipam: {{config: [{{subnet: 10.98.4.0/24}}]}}}}}}
    volumes: {{data: {{}}}}
    secrets: {{key: {{file: {tmp_path}/key}}}}
    """
    dock.apply(text)
    found = adopt.adopt([dock.project], "elsewhere", dock.runtime, dock.settings, tmp_path)
    assert (found.project, found.plan.steps) == (dock.project, ()), found.written.text
    assert "scale: 2" in found.written.text
    assert "content" not in found.written.text
