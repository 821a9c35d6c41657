"""A registry on loopback with two images, and cores that stand for hosts."""

import secrets
import shutil
from pathlib import Path

import pytest

from faults.core import add_image, layer
from integration.images import conftest as of_images

core, registry = of_images.core, of_images.registry


@pytest.fixture
def root():
    path = Path("/var/lib/bayplan-tests") / secrets.token_hex(4)
    path.mkdir(parents=True)
    yield path
    shutil.rmtree(path)


class Shop:
    """A stack of an image and a build, and the registry that both come from."""

    def __init__(self, core, registry):
        self.core, self.registry = core, registry
        self.directory = core.root / "shop"
        self.file, self.lock = self.directory / "compose.yaml", self.directory / "bayplan.lock"
        (self.directory / "app").mkdir(parents=True)
        (self.directory / "app/Dockerfile").write_text(f"FROM {registry}/base:1\nCOPY greeting /greeting\n")
        (self.directory / "app/greeting").write_text("hello\n")
        self.write()
        for name in ("web", "base"):
            self.push(name, 1)

    def write(self, more="", environment="LEVEL: info"):
        """The declaration."""
        self.file.write_text(
            f"""\
name: shop
services:
  web:
    image: {self.registry}/web:1
    command: [sleep, "600"]
    stop_grace_period: 0s
    environment: {{{environment}, DB_PASSWORD: "${{DB_PASSWORD:-planted-secret}}"}}
  app:
    image: shop-app
    build: ./app
    command: [sleep, "600"]
    stop_grace_period: 0s
{more}"""
        )

    def push(self, name, version):
        """Let a tag in the registry mean an image of another content; this host has none of it."""
        full = f"{self.registry}/{name}:1"
        data = layer(files=[("version", f"{name} {version}\n".encode())])
        self.core.push(full, data)

    def __call__(self, *arguments, **options):
        return self.core("-f", self.file, *arguments, **options)

    def says(self, service, path):
        """What is in a file of a container."""
        return self("exec", "-T", service, "cat", path).strip()


@pytest.fixture
def shop(core, registry):
    """A shop whose images a store of its own pushes, so that the host has to pull."""
    elsewhere = {**core.env, "BAYPLAN_STATE_ROOT": str(core.root / "elsewhere")}

    def push(full, data):
        add_image(core.root / "elsewhere/images", full, data)
        core("image", "push", full, BAYPLAN_STATE_ROOT=elsewhere["BAYPLAN_STATE_ROOT"])

    core.push = push
    made = Shop(core, registry)
    yield made
    core("-p", "shop", "destroy", "--volumes")


@pytest.fixture
def prod(shop):
    """Settings of another core on this machine, as variables for ``shop``; it has none of the images."""
    tag = secrets.token_hex(3)
    run = Path(f"/run/bayplan-tests/{tag}")
    own = {
        "BAYPLAN_STATE_ROOT": str(shop.core.root / "prod"),
        "BAYPLAN_RUN_ROOT": str(run),
        "BAYPLAN_ADDRESS_POOL": "10.213.0.0/16",
        "BAYPLAN_INTERFACE_PREFIX": f"p{tag[:3]}",
        "BAYPLAN_NFT_TABLE": f"bayplan_test_{tag}",
        "BAYPLAN_CGROUP_PARENT": f"/bayplan-test-{tag}",
    }
    yield own
    shop.core("-p", "shop", "destroy", "--volumes", **own)
    shutil.rmtree(run, ignore_errors=True)
    for item in Path("/sys/fs/cgroup").glob(f"*/bayplan-test-{tag}"):
        item.rmdir()
