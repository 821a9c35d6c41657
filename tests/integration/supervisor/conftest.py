"""A core of its own, a stack of one service, and eyes on its supervisor."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bayplan import app
from bayplan.load.compose import load_stack
from bayplan.models import Kind, ResourceId, Settings
from bayplan.runtime.native.runtime import NativeRuntime
from bayplan.runtime.native.supervisor import client
from bayplan.runtime.protocol import Scope
from bayplan.system import cgroups
from integration.core.test_stack import add_busybox

NAME = "bps-app-1"
ID = ResourceId(kind=Kind.CONTAINER, name=NAME)


class Core:
    """One core and the stack that a test declares."""

    def __init__(self, settings, directory):
        self.settings, self.directory = settings, directory
        self.runtime = NativeRuntime(settings)

    def declare(self, text, others=""):
        file = self.directory / "compose.yaml"
        service = "".join(f"    {line}\n" for line in text.strip().splitlines())
        image = "" if text.startswith("image:") else "    image: lab/busybox\n"
        grace = "" if "stop_grace_period" in text else "    stop_grace_period: 100ms\n"
        top = f"name: bps\nservices:\n  app:\n{image}{grace}"
        file.write_text(top + service + others)
        return file

    def plan(self, text):
        file = self.declare(text)
        stack = load_stack((file,), project_directory=self.directory, project_name=None, environment={})
        return app.plan(stack, self.runtime)

    def command(self, *arguments, code=0):
        """The real command: the supervisor must outlive it."""
        names = ("state_root", "run_root", "address_pool", "interface_prefix", "nft_table", "cgroup_parent")
        environment = {f"BAYPLAN_{name.upper()}": str(getattr(self.settings, name)) for name in names}
        file = self.directory / "compose.yaml"
        argv = [sys.executable, "-m", "bayplan", "-f", str(file), *arguments]
        done = subprocess.run(argv, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def apply(self, text, others=""):
        """What was done, each as action and name."""
        self.declare(text, others)
        steps = json.loads(self.command("apply", "--json"))["plan"]["steps"]
        return [f"{step['action']} {step['resource']['name']}" for step in steps]

    def destroy(self):
        self.command("-p", "bps", "destroy") if (self.directory / "compose.yaml").exists() else None

    @property
    def observed(self):
        return self.runtime.observe(Scope(project="bps")).get(ID)

    @property
    def status(self):
        return self.observed.status

    @property
    def row(self):
        return self.runtime.database.query("SELECT * FROM containers WHERE name = ?", (NAME,))[0]

    @property
    def health(self):
        return self.runtime.database.query("SELECT * FROM health")[0]

    @property
    def supervisor(self):
        found = client.holder(self.settings)
        return found[0] if found else None

    @property
    def log(self):
        return (self.settings.run_root / "supervisor/log").read_text()

    def until(self, question, seconds=30):
        """The first answer that is true; what the supervisor said when none is."""
        deadline = time.monotonic() + seconds
        while not (answer := question()):
            assert time.monotonic() < deadline, f"in vain: {self.status}\n{self.log}"
            time.sleep(0.01)
        return answer


@pytest.fixture
def core(tmp_path):
    tag = secrets.token_hex(3)
    settings = Settings(
        state_root=Path(f"/var/lib/bayplan-tests/{tag}"),
        run_root=Path(f"/run/bayplan-tests/{tag}"),
        address_pool="10.213.0.0/16",
        interface_prefix=f"s{tag[:4]}",
        nft_table=f"bayplan_test_{tag}",
        cgroup_parent=f"/bayplan-test-{tag}",
    )
    add_busybox(settings.state_root / "images")
    made = Core(settings, tmp_path)
    yield made
    made.destroy()
    left = made.supervisor
    made.runtime.close()
    groups = [str(top) for top in cgroups.hierarchies() for top in (top / settings.cgroup_parent[1:]).glob("*/")]
    cgroups.remove(settings.cgroup_parent)
    shutil.rmtree(settings.state_root)
    shutil.rmtree(settings.run_root)
    assert (left, groups) == (None, [])
