"""A core of its own for tests of builds, with a base image of static busybox in its store."""

import hashlib
import io
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bayplan.models import Build, Container, Duration, Image, ImageReference, Settings
from bayplan.runtime.native.images.store import ImageStore
from bayplan.runtime.native.runtime import NativeRuntime
from bayplan.system import cgroups

APPLETS = (
    "sh",
    "sleep",
    "echo",
    "cat",
    "true",
    "id",
    "ls",
    "env",
    "ip",
    "touch",
    "mkdir",
    "rm",
    "cp",
    "mv",
    "chmod",
    "pwd",
)
KIND = "application/vnd.oci.image"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def add_base(store, name="lab/base", architecture="amd64", program=Path("/bin/busybox")):
    """An image of static busybox with some users, written straight into the store."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        info = tarfile.TarInfo("bin/busybox")
        data = program.read_bytes()
        info.size, info.mode = len(data), 0o755
        tar.addfile(info, io.BytesIO(data))
        for applet in APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for path, text in (
            ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n"),
            ("etc/group", "root:x:0:\napp:x:1000:\n"),
            ("etc/old", "old\n"),
        ):
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(text), 0o644
            tar.addfile(info, io.BytesIO(text.encode()))
    layer = archive.getvalue()
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Cmd": ["sh"], "Env": ["PATH=/bin", "BASE=yes"]},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]},
    }
    text = json.dumps(config).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{KIND}.manifest.v1+json",
        "config": {"mediaType": f"{KIND}.config.v1+json", "digest": digest_of(text), "size": len(text)},
        "layers": [{"mediaType": f"{KIND}.layer.v1.tar", "digest": digest_of(layer), "size": len(layer)}],
    }
    data = json.dumps(manifest).encode()
    for item in (layer, text, data):
        store.write(digest_of(item), [item])
    store.tag(ImageReference.parse(name), digest_of(data))


class Core:
    """A core of its own, and builds in it."""

    def __init__(self, number=0, **settings):
        tag = secrets.token_hex(3)
        self.settings = Settings(
            state_root=Path(f"/var/lib/bayplan-tests/{tag}"),
            run_root=Path(f"/run/bayplan-tests/{tag}"),
            address_pool=f"10.213.{16 * number}.0/20",
            interface_prefix=f"b{tag[:4]}",
            nft_table=f"bayplan_test_{tag}",
            cgroup_parent=f"/bayplan-test-{tag}",
            **settings,
        )
        add_base(ImageStore(self.settings.state_root / "images"))
        self.runtime = NativeRuntime(self.settings)
        self.steps = []

    def build(self, context, name="lab/app", **fields):
        """Plan and build; gives the digest. ``steps`` has what was reported."""
        image = Image(name=name, build=Build(context=str(context), **fields))
        self.steps = []
        planned = self.runtime.resolve(image)
        self.runtime.create(
            image, project="", digest=planned.digest, report=lambda item: self.steps.append(item.message)
        )
        self.steps = [step for step in self.steps if step]
        again = self.runtime.resolve(image)
        assert again.present, again
        return again.digest

    def ran(self):
        """The steps that were done and not taken from the cache, in the order of the Dockerfile."""
        found = [re.sub(r"^\[[^]]*\] ", "", step) for step in self.steps if "(cached)" not in step]
        return sorted(found, key=lambda step: int(step.split()[1].partition("/")[0]) if step.startswith("step") else 0)

    def output(self, name="lab/app", **fields):
        """What a container of the image writes."""
        container = Container(name="probe", image=name, network_mode="none", **fields)
        self.runtime.create(container, project="")
        self.runtime.start("probe")
        try:
            self.runtime.wait("probe", "service_completed_successfully", Duration(seconds=30))
            return [line.text for line in self.runtime.logs("probe")]
        finally:
            self.runtime.delete(container.id)

    def left(self):
        """What is there besides images, layers and records."""
        state, run = self.settings.state_root, self.settings.run_root
        found = [*(state / "builds").glob("*"), *(run / "builds").glob("*")]
        found += list((state / "layers").glob(".part*"))
        found += list((state / "images/blobs/sha256").glob(".part*"))
        found += [row[0] for row in self.runtime.database.query("SELECT name FROM networks")]
        found += cgroups.members(self.settings.cgroup_parent)
        return [str(item) for item in found]

    def environment(self):
        """The core's settings for a command."""
        values = self.settings.model_dump(mode="json", exclude_unset=True)
        return {**os.environ, **{f"BAYPLAN_{name.upper()}": str(value) for name, value in values.items()}}

    def command(self, file, *arguments, code=0):
        """The command line on a Compose file; gives what it said."""
        argv = [sys.executable, "-m", "bayplan", "-f", str(file), *arguments]
        done = subprocess.run(argv, env=self.environment(), capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout) if "--json" in arguments else done.stdout + done.stderr

    def running(self, file):
        """Names and ids of a stack's containers."""
        return {item["name"]: item["id"] for item in self.command(file, "status", "--json") if item.get("id")}

    def close(self):
        deadline = time.monotonic() + 3
        while (left := self.left()) and time.monotonic() < deadline:
            time.sleep(0.02)  # a monitor ends a moment after its container
        self.runtime.close()
        cgroups.remove(self.settings.cgroup_parent)
        shutil.rmtree(self.settings.state_root)
        shutil.rmtree(self.settings.run_root, ignore_errors=True)
        assert left == []


def write(top, **files):
    """Files below ``top``; a double underscore in a name is a slash."""
    for name, text in files.items():
        path = top / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


class Server:
    """A web server on loopback. ``files`` maps paths to content, or to a location to go to; ``asked`` has requests."""

    def __init__(self):
        self.files, self.asked = {}, []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                given = server.files.get(self.path)
                etag = f'"{hashlib.sha256(given).hexdigest()}"' if isinstance(given, bytes) else ""
                server.asked.append((self.path, self.headers.get("If-None-Match")))
                if given is None:
                    self.send_response(404)
                elif isinstance(given, str):
                    self.send_response(302)
                    self.send_header("Location", given)
                else:
                    same = self.headers.get("If-None-Match") == etag
                    self.send_response(304 if same else 200)
                    self.send_header("ETag", etag)
                    given = b"" if same else given
                body = given if isinstance(given, bytes) else b""
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
