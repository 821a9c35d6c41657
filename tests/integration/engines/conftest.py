"""A Docker of its own for the whole run, cleared after each test; ``dock`` drives it through the protocol."""

import secrets
import shutil
from pathlib import Path

import pytest

import engines
from contract.hosts import Host


@pytest.fixture(scope="session")
def dockerd():
    if reason := engines.why_not("docker"):
        pytest.skip(f"docker: {reason}")
    root = Path("/var/lib/bayplan-tests") / secrets.token_hex(4)
    root.mkdir(parents=True)
    with engines.serve("docker", root) as engine:
        yield engine
    shutil.rmtree(root)


@pytest.fixture
def dock(dockerd):
    root = Path("/var/lib/bayplan-tests") / secrets.token_hex(4)
    root.mkdir()
    host = Host("docker", root, dockerd)
    yield host
    host.clean()
    shutil.rmtree(root)
