"""Three hosts for tests of Swarm: real dockerd, each with namespaces of its own, on a switch of the test's own.

Each host is one process tree in its own PID, mount and network namespace, so that killing its first process is what a
power cut is: nothing of it runs on, its links and mounts are gone, its disk stays.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from bayplan.models import Settings
from bayplan.runtime.engine_api.client import EngineClient, connect

ROOT = Path("/var/lib/bayplan-tests")
BRIDGE = "bpsw0"
START_S = 60
# The host's /sys shows its own network; dockerd reads links there. The cgroups stay those of the machine.
_BOOT = """
set -e
mount -t tmpfs run /run
mkdir -p /run/cg
mount --rbind /sys/fs/cgroup /run/cg
mount -t sysfs sysfs /sys
mount --rbind /run/cg /sys/fs/cgroup
umount -l /run/cg
hostname "$1"
read -r wired
ip link set lo up
root=$2
shift 2
dockerd "$@" >>"$root/log" 2>&1 &
wait
"""


class Switch:
    """A bridge in a network namespace, with a registry if one is asked for."""

    def __init__(self) -> None:
        self.registry: subprocess.Popen[bytes] | None = None
        self.holder = subprocess.Popen(["unshare", "-n", "sleep", "infinity"])
        _until(lambda: _netns(self.holder.pid) != _netns(os.getpid()), "the switch's namespace")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "link", "add", BRIDGE, "type", "bridge")
        self.run("ip", "address", "add", "10.97.0.1/24", "dev", BRIDGE)
        self.run("ip", "link", "set", BRIDGE, "up")

    def run(self, *command: str) -> str:
        """A command in its network namespace."""
        return _run("nsenter", "-t", str(self.holder.pid), "-n", *command)

    def wire(self, pid: int, number: int) -> None:
        """A link to the namespace of a process, with the address of that number."""
        link = f"bpsw0n{number}"
        self.run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        self.run("ip", "link", "set", link, "master", BRIDGE, "up")
        inside = ["nsenter", "-t", str(pid), "-n", "ip"]
        _run(*inside, "address", "add", f"10.97.0.1{number}/24", "dev", "eth0")
        _run(*inside, "link", "set", "eth0", "up")
        _run(*inside, "route", "add", "default", "via", "10.97.0.1")

    def fetch(self, url: str) -> str | None:
        """What a URL gives to whoever is on the switch; None where nobody answers."""
        program = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=5).read().decode(), end='')"
        try:
            return self.run(sys.executable, "-c", program, url)
        except AssertionError:
            return None

    def serve(self, root: Path) -> str:
        """Start a registry on it; its address."""
        config = {
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(root / "registry")}},
            "http": {"addr": "10.97.0.1:5000"},
        }
        (root / "registry.json").write_text(json.dumps(config))  # JSON is YAML
        command = ["nsenter", "-t", str(self.holder.pid), "-n", "docker-registry", "serve", str(root / "registry.json")]
        with (root / "registry.log").open("wb") as log:
            self.registry = subprocess.Popen(command, stdout=log, stderr=log)
        _until(lambda: self._listens("10.97.0.1:5000"), "the registry")
        return "10.97.0.1:5000"

    def _listens(self, address: str) -> bool:
        return address in self.run("ss", "-Hltn")

    def close(self) -> None:
        """End it: its links go with it."""
        for process in filter(None, (self.registry, self.holder)):
            process.kill()
            process.wait()


class Node:
    """One host. ``address`` is its own on the switch, ``socket`` where its engine answers."""

    def __init__(self, root: Path, switch: Switch, number: int) -> None:
        self.name, self.address, self.number = f"node{number}", f"10.97.0.1{number}", number
        self.root, self.switch = root / f"n{number}", switch
        self.root.mkdir(parents=True)
        self.socket = self.root / "docker.sock"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def cgroup(self) -> str:
        """Parent of its containers' cgroups."""
        return f"/bayplan-swarm-{os.getpid()}-{self.number}"

    @property
    def place(self) -> str:
        """The address of its engine."""
        return f"unix://{self.socket}"

    def boot(self) -> None:
        """Start it without waiting for its engine."""
        arguments = [
            *("--data-root", str(self.root / "data"), "--exec-root", "/run/docker", "--pidfile", "/run/docker.pid"),
            *("--host", self.place, "--cgroup-parent", self.cgroup, "--insecure-registry", "10.97.0.0/24"),
            *("--config-file", str(self.root / "daemon.json"), "--log-level", "warn"),
        ]
        (self.root / "daemon.json").write_text("{}")
        shell = ["sh", "-c", _BOOT, "node", self.name, str(self.root), *arguments]
        options = ["-n", "-m", "-u", "-i", "-p", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(["unshare", *options, *shell], stdin=subprocess.PIPE, stderr=log)
        _until(lambda: _netns(self.pid) not in ("", _netns(os.getpid())), f"the namespaces of {self.name}")
        self.switch.wire(self.pid, self.number)
        assert self.process.stdin is not None
        self.process.stdin.write(b"wired\n")
        self.process.stdin.flush()

    def up(self) -> None:
        """Wait until its engine answers."""

        def ready() -> bool:
            if self.process is None or self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended: {self.log()[-2000:]}")
            return self.answers()

        _until(ready, f"the engine of {self.name}: see {self.root}/log")

    def answers(self) -> bool:
        """Whether its engine does, asked without a client that would keep connections."""
        with suppress(OSError), socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(10)
            asked.connect(str(self.socket))
            asked.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in asked.recv(100)
        return False

    @property
    def pid(self) -> int:
        """Its first process."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else self.process.pid

    def kill(self) -> None:
        """Cut its power."""
        if self.process is None:
            return
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()
        self.process = None
        # The veth of a namespace that is gone goes a moment later, and would be in the way of the next one.
        _until(lambda: f"bpsw0n{self.number}:" not in self.switch.run("ip", "-o", "link"), "its link's end")

    def run(self, *command: str) -> str:
        """A command in its network namespace."""
        return _run("nsenter", "-t", str(self.pid), "-n", *command)

    def settings(self, **values: object) -> Settings:
        """Settings whose engine is this node's."""
        state = self.root / "client"
        return Settings(
            **{"engine": "swarm", "engine_address": self.place, "state_root": state, "run_root": state, **values}
        )

    @contextmanager
    def client(self):
        """Its engine."""
        client = connect(self.settings(), "docker")
        try:
            yield client
        finally:
            client.close()

    def docker(self, *command: str) -> str:
        """Docker's own command on it."""
        return _run("docker", "--host", self.place, *command)

    def log(self) -> str:
        """What its engine wrote."""
        path = self.root / "log"
        return path.read_text(errors="replace") if path.exists() else ""


@contextmanager
def hosts(count: int = 3):
    """Hosts with an engine each and no swarm yet, ready; all that they leave is removed at the end."""
    ROOT.mkdir(parents=True, exist_ok=True)
    root = Path(tempfile.mkdtemp(prefix="sw", dir=ROOT))
    switch = Switch()
    nodes = [Node(root, switch, number) for number in range(1, count + 1)]
    try:
        for node in nodes:
            node.boot()
        for node in nodes:
            node.up()
        yield nodes
    finally:
        for node in nodes:
            with suppress(Exception):
                node.kill()
            _remove_cgroups(node.cgroup)
        switch.close()
        shutil.rmtree(root)


def add_busybox(node: Node, name: str, *, marker: str = "") -> None:
    """An image of the static busybox; another marker is another image."""
    import io
    import tarfile

    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add("/bin/busybox", "bin/busybox")
        for applet in ("sh", "sleep", "echo", "nc", "cat", "true", "false", "nslookup", "wget", "httpd"):
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        mark = tarfile.TarInfo("marker")
        mark.size = len(marker)
        tar.addfile(mark, io.BytesIO(marker.encode()))
    repository, _, tag = name.rpartition(":")
    with node.client() as client:
        wanted = {"fromSrc": "-", "repo": repository, "tag": tag}
        for _ in client.streamed("POST", "/images/create", query=wanted, data=archive.getvalue()):
            pass


def tasks(client: EngineClient, service: str) -> list[dict]:
    """The tasks of a service that should run."""
    wanted = {"service": [service], "desired-state": ["running"]}
    return client.call("GET", "/tasks", query={"filters": json.dumps(wanted)})


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def _netns(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    except OSError:
        return ""


def _until(condition, what: str, limit_s: float = START_S) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"in vain waited for {what}")
        time.sleep(0.1)


def _remove_cgroups(parent: str) -> None:
    """Controllers of cgroup v1 each have a tree; the deepest goes first."""
    for controller in Path("/sys/fs/cgroup").iterdir():
        top = controller / parent.strip("/")
        found = sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True) if top.is_dir() else []
        for path in (*found, top):
            with suppress(OSError):
                path.rmdir()
