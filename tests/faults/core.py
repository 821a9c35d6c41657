"""A core of its own, driven by the command in processes of its own: what the fault tests and the sweeps share."""

import hashlib
import io
import json
import os
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tarfile
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bayplan.models import ImageReference, Settings
from bayplan.runtime.native.images.store import ImageStore
from bayplan.runtime.native.supervisor import client
from bayplan.system import cgroups
from leaks import leaks

APPLETS = ("sh", "sleep", "echo", "nc", "cat", "true", "tr", "head", "dd", "sync")
COMPOSE = """\
name: shop
services:
  store:
    image: lab/busybox
    command: [sh, -c, 'trap "exit 0" TERM; echo up > /data/up; sleep 600 & wait']
    volumes: ["data:/data"]
    networks: [back]
    healthcheck: {test: [CMD, cat, /data/up], interval: 50ms, retries: 100}
  api:
    image: lab/busybox
    command: [sh, -c, 'while :; do nc -l -p 7000 -e echo "$$GREETING"; done']
    environment: {GREETING: "${GREETING:-hello}"}
    networks: [front, back]
    ports: ["127.0.0.1:${PORT}:7000"]
    stop_grace_period: 50ms
    depends_on: {store: {condition: service_healthy}}
    deploy: {update_config: {order: "${ORDER:-stop-first}", monitor: 50ms}}
  web:
    image: lab/busybox
    command: [sh, -c, 'exec sleep 600']
    networks: [front]
    stop_grace_period: 50ms
    depends_on: [api]
networks:
  front: {}
  back: {internal: true}
volumes:
  data: {}
"""
TABLES = ("containers", "endpoints", "leases", "ports", "networks", "volumes", "health")
_SETTLE_S = 5.0


def layer(*, padding=0, files=()):
    """A tar of static busybox with its links, ``files`` (path, content) and ``padding`` bytes of noise."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add("/bin/busybox", "bin/busybox")
        for name in APPLETS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for path, text in files:
            info = tarfile.TarInfo(path)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
        if padding:
            info = tarfile.TarInfo("padding")
            info.size = padding
            tar.addfile(info, io.BytesIO(secrets.token_bytes(padding)))
    return archive.getvalue()


def add_image(root, name="lab/busybox", data=None, **options):
    """Write an image of one layer straight into a store, not unpacked yet. Gives the layer's digest.

    ``options`` are further fields of its configuration (``Volumes``, ``Labels``).
    """
    store = ImageStore(root)

    def put(content):
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        store.write(digest, [content])
        return digest

    data = data or layer()
    digest = put(data)
    config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"], **options}}
    config["rootfs"] = {"type": "layers", "diff_ids": [digest]}
    text = json.dumps(config).encode()
    kind = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.manifest.v1+json",
        "config": {"mediaType": f"{kind}.config.v1+json", "digest": put(text), "size": len(text)},
        "layers": [{"mediaType": f"{kind}.layer.v1.tar", "digest": digest, "size": len(data)}],
    }
    store.tag(ImageReference.parse(name), put(json.dumps(manifest).encode()))
    return digest


def free_port():
    """A port of loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        return held.getsockname()[1]


@dataclass
class Core:
    """One core and one Compose file. ``command`` is what runs the verbs, before their arguments."""

    file: Path
    variables: dict = field(default_factory=dict)
    command: tuple = (sys.executable, "-m", "bayplan")
    state_root: Path | None = None
    pool: str = "10.217.0.0/16"

    def __post_init__(self):
        tag = secrets.token_hex(3)
        self.settings = Settings(
            state_root=self.state_root or Path(f"/var/lib/bayplan-tests/{tag}"),
            run_root=Path(f"/run/bayplan-tests/{tag}"),
            address_pool=self.pool,
            interface_prefix=f"f{tag[:4]}",
            nft_table=f"bayplan_test_{tag}",
            cgroup_parent=f"/bayplan-test-{tag}",
        )
        names = ("state_root", "run_root", "address_pool", "interface_prefix", "nft_table", "cgroup_parent")
        self.environment = {f"BAYPLAN_{name.upper()}": str(getattr(self.settings, name)) for name in names}

    def start(self, *arguments, command=None, **extra):
        """Start a verb in a session of its own; what it says goes to a file ``said`` reads."""
        output = self.file.parent / f"said-{secrets.token_hex(4)}"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [*(command or self.command), "-f", str(self.file), *arguments],
                env={**os.environ, **self.variables, **self.environment, **extra},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process.output = output
        return process

    def call(self, *arguments, code=0, **extra):
        """Run a verb to its end; its text, or its JSON with ``--json``. AssertionError for another exit code."""
        process = self.start(*arguments, **extra)
        found = process.wait()
        text = process.output.read_text()
        process.output.unlink()
        assert found == code, f"{' '.join(arguments)}: exit code {found}, not {code}\n{text}"
        return json.loads(text) if "--json" in arguments else text

    def status(self):
        """Name to what ``status`` tells."""
        return {item["name"]: item for item in self.call("status", "--json")}

    def pids(self):
        """Container name to the pid of its first process."""
        return {name: item["pid"] for name, item in self.status().items() if item["kind"] == "container"}

    def query(self, sql):
        """Rows of the record file; none while nothing has been changed."""
        if not (self.settings.state_root / "state.db").exists():
            return []
        with closing(sqlite3.connect(self.settings.state_root / "state.db")) as connection:
            return connection.execute(sql).fetchall()

    def write(self, sql):
        """Change the record file, as a fault would."""
        with closing(sqlite3.connect(self.settings.state_root / "state.db")) as connection, connection:
            connection.execute(sql)

    def stop_supervisor(self):
        """End the process that watches; nobody holds files of the state root open for writing then."""
        found = client.holder(self.settings)
        if found:
            found[0].send(signal.SIGTERM)
            assert found[0].wait(10)

    def kill_all(self):
        """SIGKILL to every process that names this core's run root: monitors, runtimes."""
        for pid in self._processes():
            os.kill(pid, signal.SIGKILL)

    def left(self):
        """What is still there after everything was destroyed, once it had time to settle."""
        end = time.monotonic() + _SETTLE_S
        while (found := self._left()) and time.monotonic() < end:
            time.sleep(0.05)
        return found

    def lose_host(self):
        """End and take away what a reboot would: processes, namespaces, cgroups, rules, links, the run root."""
        self.kill_all()
        for process in cgroups.members(self.settings.cgroup_parent):
            process.send(signal.SIGKILL)
            process.wait(5)
        cgroups.remove(self.settings.cgroup_parent)
        for family in ("inet", "bridge"):
            delete = ["nft", "delete", "table", family, self.settings.nft_table]
            subprocess.run(delete, check=False, capture_output=True)
        for _, name in socket.if_nameindex():
            if name.startswith(self.settings.interface_prefix):
                subprocess.run(["ip", "link", "del", name], check=False, capture_output=True)
        shutil.rmtree(self.settings.run_root, ignore_errors=True)

    def remove(self):
        """Remove the core's files, and what a failed test left: the next one must not find it."""
        self.lose_host()
        shutil.rmtree(self.settings.state_root, ignore_errors=True)

    def _processes(self):
        root = str(self.settings.run_root).encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    words = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if root in words:
                    yield int(entry.name)

    def _left(self):
        made = self.settings
        found = leaks(made)
        for table in TABLES:
            rows = self.query(f"SELECT * FROM {table}")
            found += [f"record in {table}: {row[0]}" for row in rows]
        for place in (made.state_root / "containers", made.run_root / "containers"):
            found += [str(item) for item in place.glob("*")]
        found += [str(item) for item in (made.state_root / "volumes").glob("*")]
        for top in cgroups.hierarchies():
            found += [str(item) for item in [top / made.cgroup_parent.lstrip("/")] if item.exists()]
        temporary = [*made.state_root.rglob(".part-*"), *made.state_root.rglob(".lock-*")]
        temporary += [*(made.state_root / "images").glob(".*.json.*"), *made.state_root.glob("volumes/.*")]
        return found + [f"unfinished {item}" for item in temporary]


@contextmanager
def small_core(directory, compose=COMPOSE, **options):
    """A core with a declaration and an image for it; everything is destroyed at the end, and nothing may stay."""
    file = directory / "compose.yaml"
    file.write_text(compose)
    made = Core(file, {"PORT": str(free_port())}, **options)
    add_image(made.settings.state_root / "images")
    try:
        yield made
        made.call("destroy", "--volumes")
        assert (left := made.left()) == [], left
    finally:
        made.remove()


def ask(port, timeout_s=20.0):
    """An answer through a published port; the server may need a moment after its container has started."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
                answer = peer.recv(100)
            if answer:
                return answer
        except (ConnectionRefusedError, ConnectionResetError, TimeoutError):
            pass
        if time.monotonic() > deadline:
            raise AssertionError(f"no answer on port {port}")
        time.sleep(0.05)


def steps(applied):
    """What the JSON of an apply says was planned: resource, action, reason."""
    return [(one["resource"]["name"], one["action"], one["why"]) for one in applied["plan"]["steps"]]
