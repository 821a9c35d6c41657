"""Containers replaced while somebody uses them: on the real core, with real requests."""

import http.client
import json
import socket
import subprocess
import threading
import time

import pytest

from bayplan.system import namespaces
from bayplan.system.namespaces import NetworkNamespace
from faults.core import free_port

pytestmark = pytest.mark.host
WEB = """\
name: bpr
services:
  web:
    image: lab/busybox
    command:
      - /bin/busybox
      - sh
      - -c
      - |
        /bin/busybox --install -s /bin; mkdir -p /www/cgi-bin; echo "$$WORD" > /www/index.html
        echo '#!/bin/sh' > /www/cgi-bin/slow
        echo 'sleep 1; echo Content-Type: text/plain; echo; echo slow' >> /www/cgi-bin/slow
        chmod +x /www/cgi-bin/slow; FAULT
        exec httpd -f -p 8000 -h /www
    environment: {WORD: one}
    ports: ["PORT:8000"]
    networks: {front: {aliases: [shop]}}
    stop_grace_period: 5s
    stop_signal: SIGKILL  # whoever is not waited for is cut off
    healthcheck:
      test: [CMD, /bin/busybox, wget, -q, -O, /dev/null, "http://127.0.0.1:8000/"]
      interval: 100ms
      retries: 20
    deploy:
      replicas: 1
      update_config: {order: start-first, monitor: 200ms}
  peer:
    image: lab/busybox
    command: [sleep, "600"]
    stop_grace_period: 50ms
    networks: [front]
networks: {front: {}}
"""
OUTSIDE = "198.51.100.1", "198.51.100.2"


def run(*argv):
    subprocess.run(argv, check=True, capture_output=True)


@pytest.fixture
def outside():
    """A client's place beside the host, joined to it by a wire."""
    netns = NetworkNamespace.create()
    path = str(netns.path)
    run("ip", "link", "add", "xrepl", "type", "veth", "peer", "name", "xreplp")
    run("ip", "addr", "add", f"{OUTSIDE[0]}/24", "dev", "xrepl")
    run("ip", "link", "set", "xrepl", "up")
    run("ip", "link", "set", "xreplp", "netns", path)
    run("nsenter", f"--net={path}", "ip", "addr", "add", f"{OUTSIDE[1]}/24", "dev", "xreplp")
    run("nsenter", f"--net={path}", "ip", "link", "set", "xreplp", "up")
    yield netns
    run("ip", "link", "del", "xrepl")
    netns.close()


def wait_until(true, seconds=30):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


class Client:
    """Asks without pause, a connection for each request; counts answers, and notes each that is refused or broken."""

    def __init__(self, address, port, netns=None, path="/"):
        self.place, self.netns, self.path, self.ended = (address, port), netns, path, threading.Event()
        self.answers, self.lost = [], []
        self.thread = threading.Thread(target=self._run)

    def ask(self):
        connection = http.client.HTTPConnection(*self.place, timeout=20)
        try:
            if self.netns:
                namespaces.in_network(self.netns.path, connection.connect)
            connection.request("GET", self.path, headers={"Connection": "close"})
            reply = connection.getresponse()
            text = reply.read().decode().strip()
            assert reply.status == 200, reply.status
            return text
        finally:
            connection.close()

    def _run(self):
        while not self.ended.is_set():
            try:
                self.answers.append(self.ask())
            except Exception as error:
                self.lost.append(repr(error))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


@pytest.fixture
def port(project):
    number = free_port()
    project.write = lambda text: project.file.write_text(text.replace("PORT", str(number)).replace("FAULT", ""))
    project.write(WEB)
    yield number
    project.write(WEB)


def containers(project):
    found = json.loads(project("status", "--json"))
    return {item["name"]: item for item in found if item["kind"] == "container"}


def test_no_request_is_lost_while_a_healthy_service_is_replaced(project, port, outside):
    project("apply")
    before = containers(project)["bpr-web-1"]["id"]
    near, host, far = Client("127.0.0.1", port), Client(OUTSIDE[0], port), Client(OUTSIDE[0], port, outside)
    # One of its requests is always under way when the ports move, for longer than a container needs to end.
    slow = Client("127.0.0.1", port, path="/cgi-bin/slow")
    with near, host, far, slow:
        for number in range(2, 5):
            project.write(WEB.replace("WORD: one", f"WORD: v{number}"))
            said = project("apply")
        assert "start-first" in said
        seen = min(len(one.answers) for one in (near, host, far))
        for word in ("v4", "v5"):  # two of them, one after the other
            project.write(WEB.replace("WORD: one", f"WORD: {word}").replace("replicas: 1", "replicas: 2"))
            said = project("apply")
        assert "lot 2 of 2, start-first" in said
        wait_until(lambda: all(len(one.answers) > max(300, seen + 50) for one in (near, host, far)))
    for one in (near, host, far):
        assert one.lost == []
        # One after the other: what has been replaced never answers again.
        first = one.answers[: one.answers.index("v5")]
        changes = [word for at, word in enumerate(first) if at == 0 or first[at - 1] != word]
        assert changes == ["one", "v2", "v3", "v4"]
        assert set(one.answers[-20:]) == {"v5"}
    assert slow.lost == []
    assert slow.answers
    after = containers(project)
    assert set(after) == {"bpr-web-1", "bpr-web-2", "bpr-peer-1"}
    assert after["bpr-web-1"]["id"] != before
    for name in ("web", "shop", "bpr-web-1"):
        assert project("exec", "-T", "peer", "/bin/busybox", "wget", "-q", "-O", "-", f"http://{name}:8000/") == "v5\n"
    assert "Nothing to do" in project("apply")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("echo it is broken >&2; exit 3", ["ended with exit code 3", "it is broken"]),
        ("echo never well; rm /www/index.html", ["turned unhealthy", "never well"]),
        ("httpd -p 8000 -h /www; sleep 0.5; echo dying; exit 5", ["ended with exit code 5", "dying"]),
    ],
)
def test_a_successor_that_fails_is_told_of_and_the_old_one_goes_on(project, port, fault, said):
    project("apply")
    before = containers(project)
    text = WEB.replace("WORD: one", "WORD: two")
    if "never" in fault:
        text = text.replace("retries: 20", "retries: 3")
    if "dying" in fault:
        text = text.replace("    healthcheck:", "    x-was:").replace("200ms}", "60s}")  # watched, not checked
    with Client("127.0.0.1", port) as client:
        project.file.write_text(text.replace("PORT", str(port)).replace("FAULT", fault))
        output = project("apply", ok=False)
        wait_until(lambda: len(client.answers) > 20)
    assert client.lost == []
    assert set(client.answers) == {"one"}
    for words in said:
        assert words in output
    now = containers(project)
    assert {name: item["id"] for name, item in now.items()} == {name: item["id"] for name, item in before.items()}
    assert now["bpr-web-1"]["addresses"] == before["bpr-web-1"]["addresses"]
    assert now["bpr-web-1"]["ports"] == before["bpr-web-1"]["ports"]


STOP_FIRST = """\
name: bpr
services:
  web:
    image: lab/busybox
    command: [sh, -c, 'echo "$$WORD" > /www; FAULT exec nc -ll -p 8000 -e cat /www']
    environment: {WORD: one}
    ports: ["127.0.0.1:PORT:8000"]
    volumes: ["data:/data"]
    networks:
      front: {ipv4_address: 10.212.77.9, mac_address: "02:42:0a:d4:4d:77", aliases: [shop]}
      back: {ipv6_address: "fd00:77::9"}
      third: {}
    stop_grace_period: 50ms
    deploy: {update_config: {monitor: 1s}}
  peer:
    image: lab/busybox
    command: [sleep, "600"]
    stop_grace_period: 50ms
    networks: [front, third]
networks:
  front: {ipam: {config: [{subnet: 10.212.77.0/24}]}}
  back: {enable_ipv6: true, ipam: {config: [{subnet: "fd00:77::/64"}, {subnet: 10.212.78.0/24}]}}
  third: {internal: true}
volumes: {data: {}}
"""


def test_stop_first_brings_the_old_one_back_to_all_that_it_had(project, port):
    project.write(STOP_FIRST)
    project("apply")
    project("exec", "-T", "web", "sh", "-c", "echo kept > /data/file")
    before = containers(project)

    def answers():
        said = [project("exec", "-T", "peer", "nc", name, "8000") for name in ("web", "shop")]
        with socket.create_connection(("127.0.0.1", port), timeout=10) as asked:
            return [*said, asked.recv(100).decode()]

    assert answers() == ["one\n"] * 3
    for fault in ("echo broken; sleep 0.3; exit 4;", "exec /no/such/program;"):
        text = STOP_FIRST.replace("WORD: one", "WORD: two").replace("PORT", str(port)).replace("FAULT", fault)
        project.file.write_text(text)
        said = project("apply", ok=False)
        assert "bpr-web-1" in said
        assert ("broken" in said) is ("broken" in fault)
        now = containers(project)
        for name, item in before.items():
            assert (now[name]["id"], now[name]["state"]) == (item["id"], "running")
            for place in ("addresses", "addresses_v6", "ports"):
                assert now[name][place] == item[place]
        assert answers() == ["one\n"] * 3
    assert project("exec", "-T", "web", "cat", "/data/file") == "kept\n"
    project.write(STOP_FIRST.replace("WORD: one", "WORD: two"))
    project("apply")
    assert answers() == ["two\n"] * 3
    assert containers(project)["bpr-web-1"]["addresses"] == before["bpr-web-1"]["addresses"]
    project.write(STOP_FIRST.replace("volumes: {data: {}}", "volumes: {data: {driver_opts: {size: 64m}}}"))
    said = project("apply", ok=False)
    assert "volume bpr_data cannot be changed (driver_opts" in said
    assert "`bayplan volume export bpr_data -o data.tar`" in said
    assert project("exec", "-T", "web", "cat", "/data/file") == "kept\n"
