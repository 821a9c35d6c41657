"""The real command over a core of its own; the stack is what a test declares."""

import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bayplan.models import Settings
from busybox import APPLETS, add_busybox

COMPOSE = """\
name: bpv
services:
  app:
    image: lab/busybox
    command: [sh, -c, 'trap "exit 5" TERM; echo ready; while :; do sleep 0.05; done']
    stop_grace_period: 5s
    depends_on: [base]
  base:
    image: lab/busybox
    command: [sh, -c, 'trap "exit 6" TERM; echo up; while :; do sleep 0.05; done']
    stop_grace_period: 5s
"""
MORE = ("ls", "mkdir", "ln", "rm", "mv", "stat", "chown", "chmod", "id", "stty", "tty", "kill", "env", "dd", "date")


class Command:
    """``bayplan`` as a user runs it."""

    def __init__(self, tmp_path):
        tag = secrets.token_hex(2)
        self.settings = Settings(
            state_root=Path(f"/var/lib/bayplan-tests/v{tag}"),
            run_root=Path(f"/run/bayplan-tests/v{tag}"),
            address_pool="10.209.0.0/16",
            interface_prefix=f"v{tag[:3]}",
            nft_table=f"bayplan_test_v{tag}",
            cgroup_parent=f"/bayplan-test-v{tag}",
        )
        names = ("state_root", "run_root", "address_pool", "interface_prefix", "nft_table", "cgroup_parent")
        self.environment = {f"BAYPLAN_{name.upper()}": str(getattr(self.settings, name)) for name in names}
        add_busybox(self.settings.state_root / "images", (*APPLETS, *MORE))
        self.file = tmp_path / "compose.yaml"
        self.file.write_text(COMPOSE)

    def argv(self, *arguments):
        return [sys.executable, "-m", "bayplan", "-f", str(self.file), *arguments]

    def popen(self, *arguments, **options):
        return subprocess.Popen(self.argv(*arguments), env={**os.environ, **self.environment}, **options)

    def __call__(self, *arguments, **options):
        said = self.text(*arguments, **options)
        return json.loads(said) if "--json" in arguments else said

    def text(self, *arguments, code=0, stdin=None):
        done = subprocess.run(
            self.argv(*arguments),
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            input=stdin,
            check=False,
            timeout=120,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def lines(self, *arguments):
        """JSON, one value a line."""
        return [json.loads(line) for line in self.text(*arguments).splitlines()]

    def states(self):
        return {
            item["name"].split("-")[1]: item["state"]
            for item in self("status", "--json")
            if item["kind"] == "container"
        }

    def status(self, name):
        return next(item for item in self("status", "--json") if item["name"] == name)


@pytest.fixture
def bayplan(tmp_path):
    held = Command(tmp_path)
    yield held
    held("destroy", "--volumes")
    shutil.rmtree(held.settings.state_root)
    shutil.rmtree(held.settings.run_root, ignore_errors=True)
