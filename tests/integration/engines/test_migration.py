"""docs/migration.md, step by step: a project goes from Docker to the native core and back, its data with it."""

import json
import os
import subprocess
import sys

import pytest

from faults.core import Core, add_image

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

STACK = """
name: moved
services:
  web:
    image: lab/busybox
    command: [sh, -c, 'exec sleep 600']
    stop_signal: SIGKILL
    environment: {GREETING: hello}
    volumes: ["data:/data"]
    networks: [net]
networks: {net: {}}
volumes: {data: {}}
"""


@pytest.fixture
def host(dockerd, tmp_path):
    """Calls the command on one of two engines of a host: ``host("docker", "apply")``."""
    core = Core(tmp_path / "compose.yaml", pool="10.203.0.0/16")
    core.file.write_text(STACK)
    add_image(core.settings.state_root / "images")
    environ = {**os.environ, **core.environment}

    def call(engine, *arguments, code=0):
        where = ("-H", dockerd.socket) if engine == "docker" else ()
        argv = [sys.executable, "-m", "bayplan", "-f", str(core.file), "--engine", engine, *where, *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environ, timeout=120)
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done.stdout + done.stderr

    yield call
    call("docker", "destroy", "--volumes")
    call("native", "destroy", "--volumes")
    try:
        assert core.left() == []
    finally:
        core.remove()


def move(host, source, target, archive, *, there=False):
    """``there``: the other engine has the volume already, of an earlier time."""
    host(source, "stop")
    host(source, "volume", "export", "moved_data", "-o", str(archive))
    host(source, "destroy")
    if not there:
        host(target, "create")
    host(target, "volume", "import", *(["--replace"] if there else []), "moved_data", str(archive))
    host(target, "apply")


def test_a_project_moves_from_docker_to_native_and_back_with_its_data(host, tmp_path):
    host("docker", "apply")
    host("docker", "exec", "-T", "web", "sh", "-c", "echo kept > /data/file; chmod 600 /data/file")
    refused = host("native", "apply", code=2)
    assert "project moved is run by the engine docker, and this is native" in refused
    move(host, "docker", "native", tmp_path / "there.tar")
    assert host("native", "exec", "-T", "web", "cat", "/data/file") == "kept\n"
    assert "Nothing to do" in host("native", "apply")
    host("native", "exec", "-T", "web", "sh", "-c", "echo more >> /data/file")
    move(host, "native", "docker", tmp_path / "back.tar", there=True)
    assert host("docker", "exec", "-T", "web", "cat", "/data/file") == "kept\nmore\n"
    assert "Nothing to do" in host("docker", "apply")
    # The volume that each engine had stays until somebody removes it.
    left = json.loads(host("native", "volume", "ls", "--json"))
    assert [item["name"] for item in left] == ["moved_data"]
