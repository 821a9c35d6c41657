"""What figures beside other tools share: a registry on loopback with layers in it, and commands that are timed."""

import gzip
import hashlib
import io
import json
import os
import random
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

from bench import core

KIND = "application/vnd.oci.image"
FILES, FILE_BYTES, LAYERS = 400, 100_000, 5


def layer(number):
    """A tar of many files, half of whose bytes can be compressed; the same for the same number."""
    drawn, archive = random.Random(number), io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for index in range(FILES):
            info = tarfile.TarInfo(f"layer-{number}/{index % 20}/{index}")
            info.size = FILE_BYTES
            tar.addfile(info, io.BytesIO(drawn.randbytes(FILE_BYTES // 2) + bytes(FILE_BYTES - FILE_BYTES // 2)))
    return archive.getvalue()


class Registry:
    """docker-registry on loopback with what was pushed to it."""

    def __init__(self, folder):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.host = f"127.0.0.1:{probe.getsockname()[1]}"
        conf = folder / "registry.yml"
        storage = {"filesystem": {"rootdirectory": str(folder / "storage")}}
        settings = {"version": "0.1", "log": {"level": "error"}, "storage": storage, "http": {"addr": self.host}}
        conf.write_text(json.dumps(settings))
        output = (folder / "registry.log").open("wb")
        self.process = subprocess.Popen(["docker-registry", "serve", str(conf)], stdout=output, stderr=output)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(tuple(self.host.split(":")), timeout=1):
                return
            time.sleep(0.05)
        raise SystemExit("the registry does not start")

    def push(self, repository, layers):
        """An image of these tars as ``latest``, gzipped."""
        config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]}}
        digests = ["sha256:" + hashlib.sha256(item).hexdigest() for item in layers]
        config["rootfs"] = {"type": "layers", "diff_ids": digests}
        made = [self._blob(repository, gzip.compress(item, 6, mtime=0)) for item in layers]
        text = self._blob(repository, json.dumps(config).encode())
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{KIND}.manifest.v1+json",
            "config": {"mediaType": f"{KIND}.config.v1+json", **text},
            "layers": [{"mediaType": f"{KIND}.layer.v1.tar+gzip", **item} for item in made],
        }
        self._send("PUT", f"/v2/{repository}/manifests/latest", json.dumps(manifest).encode(), manifest["mediaType"])

    def _blob(self, repository, data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        place = self._send("POST", f"/v2/{repository}/blobs/uploads/", b"")["Location"]
        join = "&" if "?" in place else "?"
        self._send("PUT", f"{place}{join}digest={digest}", data)
        return {"digest": digest, "size": len(data)}

    def _send(self, method, path, data, kind="application/octet-stream"):
        url = path if path.startswith("http") else f"http://{self.host}{path}"
        asked = urllib.request.Request(url, data, {"Content-Type": kind}, method=method)
        with urllib.request.urlopen(asked) as answer:
            return answer.headers


@contextmanager
def bayplan(registry):
    """A core of its own: ``environment`` for the command."""
    with core() as settings, tempfile.TemporaryDirectory() as folder:
        conf = Path(folder, "registries.conf")
        conf.write_text(f'[[registry]]\nlocation = "{registry.host}"\ninsecure = true\n')
        names = ("state_root", "run_root", "address_pool", "interface_prefix", "nft_table", "cgroup_parent")
        values = {f"BAYPLAN_{name.upper()}": str(getattr(settings, name)) for name in names}
        yield {**os.environ, **values, "BAYPLAN_REGISTRIES_CONF": str(conf)}


def timed(*argv, **options):
    """Seconds of a command; no number when it fails, as some do on some hosts, with its last words on stderr."""
    began = time.perf_counter()
    done = subprocess.run([str(item) for item in argv], check=False, capture_output=True, **options)
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        print(f"{Path(argv[0]).name} failed: {''.join(words)}", file=sys.stderr)
        return float("nan")
    return time.perf_counter() - began


def podman(program, folder):
    """podman or buildah with a store of its own."""
    return (program, "--root", f"{folder}/root", "--runroot", f"{folder}/run", "--storage-driver", "overlay")
