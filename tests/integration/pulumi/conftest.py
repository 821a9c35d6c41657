"""Programs as users write them, through an engine of Pulumi, the real plugin and a core of its own."""

import os
import secrets
import shutil
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

import pytest

from bayplan import engines
from bayplan.models import Settings
from busybox import APPLETS, add_busybox
from pulumi_engine import Engine
from pulumi_engine.cli import MISSING, Pulumi

ROOT = Path("/var/lib/bayplan-tests")
CONFIGURED = {
    "state_root": "stateRoot",
    "run_root": "runRoot",
    "address_pool": "addressPool",
    "interface_prefix": "interfacePrefix",
    "nft_table": "nftTable",
    "cgroup_parent": "cgroupParent",
    "secrets_root": "secretsRoot",
    "configs_root": "configsRoot",
}
MORE = ("httpd", "wget", "env", "id", "stat", "hostname", "mkdir")
HEAD = """\
import pulumi
import pulumi_bayplan as bayplan
"""


class Host:
    """A core of its own on this host, with the image lab/busybox in two versions."""

    def __init__(self, tag, pool="10.204.0.0/16"):
        self.settings = Settings(
            state_root=ROOT / f"u{tag}",
            run_root=Path(f"/run/bayplan-tests/u{tag}"),
            address_pool=pool,
            interface_prefix=f"u{tag[:3]}",
            nft_table=f"bayplan_test_u{tag}",
            cgroup_parent=f"/bayplan-test-u{tag}",
            secrets_root=ROOT / f"u{tag}/secrets",
            configs_root=ROOT / f"u{tag}/configs",
            engine="native",
        )
        add_busybox(self.settings.state_root / "images", (*APPLETS, *MORE))

    @property
    def config(self):
        """The stack's configuration that leads the provider here."""
        found = {f"bayplan:{name}": str(getattr(self.settings, field)) for field, name in CONFIGURED.items()}
        return {**found, "bayplan:engine": "native", "bayplan:lockTimeout": "60s"}

    @property
    def arguments(self):
        """The same as arguments of a Provider."""
        return {**{field: str(getattr(self.settings, field)) for field in CONFIGURED}, "engine": "native"}

    def bayplan(self, *arguments, code=0):
        """The command, on this core."""
        chosen = {f"BAYPLAN_{name.upper()}": value for name, value in self.arguments.items()}
        argv = [sys.executable, "-m", "bayplan", *map(str, arguments)]
        done = subprocess.run(argv, env={**os.environ, **chosen}, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def runtime(self):
        with engines.open_runtime(self.settings) as runtime:
            yield runtime

    def containers(self):
        """Name to each container that is there."""
        with self.runtime() as runtime:
            return {item.id.name: item for item in runtime.containers_there()}

    def clear(self):
        with self.runtime() as runtime:
            for item in runtime.containers_there():
                runtime.delete(item.id)
            for item, _ in (*runtime.networks_there(), *runtime.volumes_there()):
                runtime.delete(item.id)
        shutil.rmtree(self.settings.state_root)
        shutil.rmtree(self.settings.run_root, ignore_errors=True)


@pytest.fixture
def host():
    made = Host(secrets.token_hex(2))
    yield made
    made.clear()


@pytest.fixture
def hosts():
    """Three cores on this machine."""
    made = [Host(secrets.token_hex(2), pool=f"10.204.{64 * number}.0/18") for number in range(1, 4)]
    for one in made:
        with one.runtime() as runtime:
            runtime.image_verbs.tag("lab/busybox", "busybox:stable")
    yield made
    for one in made:
        one.clear()


@pytest.fixture(params=["engine", "pulumi"])
def ship(request, host, tmp_path):
    """``ship(TEXT)`` writes the program, and gives who runs it: the small engine, and the real one where it is."""
    if request.param == "pulumi" and MISSING:
        pytest.skip(f"not in PATH: {', '.join(MISSING)}")
    folder = tmp_path / "program"
    folder.mkdir()
    program = folder / "__main__.py"
    engine = (Engine if request.param == "engine" else Pulumi)(tmp_path, program, host.config)

    def write(text):
        program.write_text(HEAD + textwrap.dedent(text))
        return engine

    yield write
    if engine.state_file.exists():
        assert engine.destroy().ok
