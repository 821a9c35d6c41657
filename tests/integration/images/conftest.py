"""A registry on loopback, and a core of its own for each test."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import urllib3

from busybox import add_busybox


@pytest.fixture
def root():
    path = Path("/var/lib/bayplan-tests") / secrets.token_hex(4)
    path.mkdir(parents=True)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def registry(root):
    yield from serve(root)


@pytest.fixture
def locked_registry(root):
    """A registry that knows one user: ``user`` with the password ``not-so-secret``."""
    (root / "htpasswd").write_text("user:$2b$04$OhagQDV4Mse73AwwQRTGcexDgt7BqnQHVvZmg.9OWaIrSLGMAapuO\n")
    yield from serve(root, f"auth: {{htpasswd: {{realm: tests, path: {root / 'htpasswd'}}}}}\n")


def serve(root, more=""):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    conf = root / "registry.yml"
    store = root / "registry"
    conf.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {store}}}}}\nhttp: {{addr: '{host}'}}\n{more}"
    )
    with (root / "registry.log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(conf)], stdout=log, stderr=log)
    http = urllib3.PoolManager(retries=False)
    try:
        while process.poll() is None:
            try:
                http.request("GET", f"http://{host}/v2/")
                break
            except urllib3.exceptions.HTTPError:
                time.sleep(0.05)
        assert process.poll() is None, (root / "registry.log").read_text()
        yield host
    finally:
        http.clear()
        process.terminate()
        process.wait()


@pytest.fixture
def core(root, request):
    """A core with an image of busybox; gives what runs ``bayplan`` on it, with its places as attributes."""
    tag = root.name
    run = Path(f"/run/bayplan-tests/{tag}")
    conf = root / "registries.conf"
    names = {"registry", "locked_registry"} & set(request.fixturenames)
    hosts = [request.getfixturevalue(name) for name in names]
    conf.write_text("".join(f'[[registry]]\nlocation = "{host}"\ninsecure = true\n' for host in hosts))
    environment = {
        **os.environ,
        "BAYPLAN_STATE_ROOT": str(root / "state"),
        "BAYPLAN_RUN_ROOT": str(run),
        "BAYPLAN_ADDRESS_POOL": "10.211.0.0/16",
        "BAYPLAN_INTERFACE_PREFIX": f"i{tag[:3]}",
        "BAYPLAN_NFT_TABLE": f"bayplan_test_{tag}",
        "BAYPLAN_CGROUP_PARENT": f"/bayplan-test-{tag}",
        "BAYPLAN_REGISTRIES_CONF": str(conf),
        "HOME": str(root / "home"),
    }
    add_busybox(root / "state/images")

    def call(*arguments, code=0, stdin=None, **extra):
        argv = [sys.executable, "-m", "bayplan", *(str(item) for item in arguments)]
        done = subprocess.run(argv, env={**environment, **extra}, capture_output=True, check=False, input=stdin)
        said = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        assert code is None or done.returncode == code, said
        if "-" in arguments and not code:
            return done.stdout
        return json.loads(said[0]) if "--json" in arguments else said[0] + said[1]

    call.root, call.env, call.state = root, environment, root / "state"
    yield call
    file = root / "compose.yaml"
    if file.exists():
        call("-f", file, "destroy", "--volumes")
    shutil.rmtree(run, ignore_errors=True)
    for item in Path("/sys/fs/cgroup").glob(f"*/bayplan-test-{tag}"):
        item.rmdir()


@pytest.fixture
def container(core):
    """Starts containers: ``container('sh', '-c', ...)`` gives the name of one that runs the command on busybox."""

    def start(*command, image="lab/busybox"):
        service = {"image": image, "command": list(command), "network_mode": "host", "stop_grace_period": "100ms"}
        (core.root / "compose.yaml").write_text(json.dumps({"name": "bpi", "services": {"one": service}}))
        core("-f", core.root / "compose.yaml", "apply", "--json")
        return "bpi-one-1"

    return start
