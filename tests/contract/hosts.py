"""One host for each kind of engine, driven through the protocol alone: what a test can do on all of them."""

import ctypes
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from pathlib import Path

from bayplan import app
from bayplan.load.compose import load_text
from bayplan.models import Kind, ResourceId, Settings
from bayplan.runtime.protocol import Scope
from engines import REGISTRY

KILLED = Path(__file__).with_name("killed.py")
ATTACHED = Path(__file__).with_name("attached.py")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def open_runtime(settings):
    """The runtime that settings name."""
    match settings.engine:
        case "fake":
            from bayplan.runtime.fake import FakeRuntime

            return FakeRuntime()
        case "native":
            from bayplan.runtime.native.runtime import NativeRuntime

            return NativeRuntime(settings)
        case "docker":
            from bayplan.runtime.docker import DockerRuntime

            return DockerRuntime(settings)
        case "podman":
            from bayplan.runtime.podman import PodmanRuntime

            return PodmanRuntime(settings)


class Host:
    """A host with one engine. ``engine`` is the service behind it, if there is one."""

    IMAGE = "lab/busybox"

    def __init__(self, kind, root, engine=None):
        self.kind, self.root, self.engine = kind, root, engine
        tag = secrets.token_hex(3)
        self.project = f"bp{tag}"
        registries = root / "registries.conf"
        registries.write_text(f'[[registry]]\nlocation = "{REGISTRY}"\ninsecure = true\n')
        self.settings = Settings(
            engine="auto" if kind == "fake" else kind,
            engine_address=engine.socket if engine else None,
            state_root=root / "state",
            run_root=Path(f"/run/bayplan-tests/{tag}"),
            address_pool="10.209.0.0/16",
            interface_prefix=f"c{tag[:4]}",
            nft_table=f"bayplan_test_{tag}",
            cgroup_parent=f"/bayplan-test-{tag}",
            registries_conf=(registries,),
        )
        self.runtime = open_runtime(self.settings.model_copy(update={"engine": kind}))

    def reopen(self, **changes):
        """Go on with other settings, such as another address of the same engine."""
        self.runtime.close()
        self.settings = self.settings.model_copy(update=changes)
        self.runtime = open_runtime(self.settings.model_copy(update={"engine": self.kind}))

    # -- declared state ----------------------------------------------------------------------------------------

    def load(self, text):
        """A stack of a Compose text; ``IMAGE`` in it is busybox."""
        text = textwrap.dedent(text).replace("IMAGE", self.IMAGE)
        return load_text(text, label="compose.yaml", project_directory=self.root, project_name=self.project)

    def plan(self, text, **options):
        """What would be done."""
        return app.plan(self.load(text), self.runtime, **options)

    def apply(self, text, *, settled=True, **options):
        """Plan and apply; what was planned. Fails when a second plan is not empty, unless it is not ``settled``."""
        made, outcome = app.converge(lambda: self.plan(text, **options), self.runtime, self.settings)
        outcome.raise_failure()
        again = self.plan(text, **options) if settled else made.model_copy(update={"steps": ()})
        left = [(str(step.resource), step.why, step.fields) for step in again.steps]
        assert left == [], left
        return made

    def destroy(self, **options):
        """Remove the project."""
        made, outcome = app.converge(
            lambda: app.plan_destroy(self.project, self.runtime, **options), self.runtime, self.settings
        )
        outcome.raise_failure()
        return made

    def killed_apply(self, text, events):
        """Apply in a process that SIGKILLs itself at the given event of the walk; whether it came so far."""
        request = {
            "settings": json.loads(self.settings.model_dump_json()),
            "text": textwrap.dedent(text).replace("IMAGE", self.IMAGE),
            "directory": str(self.root),
            "project": self.project,
            "events": events,
        }
        argv = [sys.executable, str(KILLED)]
        done = subprocess.run(argv, input=json.dumps(request), text=True, capture_output=True, check=False, timeout=120)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.returncode != 0

    def status(self):
        """Name to what is observed of the project."""
        return {item.id.name: item for item in app.status(self.project, self.runtime).resources.values()}

    def name(self, service, number=1):
        """The container of a service."""
        return f"{self.project}-{service}-{number}"

    def handle(self, service):
        """The engine's identifier of a service's container."""
        return self.container(service).handle

    def container(self, service):
        """What is observed of a service's container."""
        wanted = ResourceId(kind=Kind.CONTAINER, name=self.name(service))
        return self.runtime.observe(Scope(names=(wanted,))).get(wanted)

    # -- what a user of the host does ----------------------------------------------------------------------------

    def sh(self, service, script, code=0):
        """What a shell script wrote in a service's container."""
        done = self.runtime.exec(self.name(service), ["sh", "-c", script])
        assert done.exit_code == code, (done.stdout, done.stderr)
        return done.stdout.decode()

    def attached(self, verb, service, *command):
        """Command line of a process whose standard streams are those of a container or of a command in it."""
        settings = self.settings.model_copy(update={"engine": self.kind})
        return [sys.executable, str(ATTACHED), settings.model_dump_json(), verb, self.name(service), *command]

    def inside(self, *argv):
        """A command in the network namespace of the host; what it wrote, None when it failed."""
        enter = self.engine.enter if self.engine else ()
        done = subprocess.run([*enter, *argv], capture_output=True, check=False, timeout=30, text=True)
        return done.stdout if done.returncode == 0 else None

    def fetch(self, url):
        """A web page as a user of the host gets it; None when nobody answers."""
        return self.inside("curl", "-s", "--max-time", "3", url)

    @property
    def registry(self):
        """Where a registry answers."""
        return REGISTRY

    def clean(self):
        """Remove what a test left."""
        if self.kind == "native":
            self.destroy(volumes=True)
        self.runtime.close()
        if self.engine:
            self.engine.clear()
        shutil.rmtree(self.settings.run_root, ignore_errors=True)
        if self.kind == "native":
            for item in Path("/sys/fs/cgroup").glob(f"*{self.settings.cgroup_parent}"):
                item.rmdir()


@contextmanager
def joined(engine):
    """The calling thread, and those it starts, in the network namespace of an engine: as a user of that host is."""
    if engine is None:
        yield
        return
    with Path("/proc/thread-self/ns/net").open() as home, Path(f"/proc/{engine.pid}/ns/net").open() as other:
        _enter(other.fileno())
        try:
            yield
        finally:
            _enter(home.fileno())


def _enter(fd):
    if _libc.setns(fd, _CLONE_NEWNET) < 0:
        raise OSError(ctypes.get_errno(), "setns")


def eventually(look, timeout_s=10):
    """Wait until it is true; its value."""
    end = time.monotonic() + timeout_s
    while not (found := look()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def is_root():
    """Whether real engines can be started."""
    return os.geteuid() == 0
