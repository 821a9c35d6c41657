"""A registry on loopback."""

import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
import urllib3


@pytest.fixture
def root():
    path = Path("/var/lib/bayplan-tests") / secrets.token_hex(4)
    path.mkdir(parents=True)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def registry(root):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    conf = root / "registry.yml"
    store = root / "registry"
    conf.write_text(f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {store}}}}}\nhttp: {{addr: '{host}'}}\n")
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
