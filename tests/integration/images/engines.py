"""Podman and Docker from the distribution, each with a store of its own below the test's directory."""

import os
import shutil
import subprocess
import time
from pathlib import Path

# The limits of a container may not be higher than those of who starts it.
_ULIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")


class Engine:
    """What both commands have in common. ``forms`` are those of ``bayplan image save`` that it loads."""

    forms = ("docker-archive",)

    def __init__(self, root):
        self.root, self.run_root = root / self.name, Path("/run/bayplan-tests") / f"{root.name}-{self.name}"
        self.run_root.mkdir(parents=True)

    def call(self, *argv):
        command = [*self.command, *(str(item) for item in argv)]
        done = subprocess.run(command, capture_output=True, check=False, timeout=120, text=True, env=self.environment)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout.strip()

    def run(self, image, script, *options):
        return self.call("run", "--network", "none", *_ULIMITS, *options, image, "sh", "-c", script)

    def load(self, path):
        self.call("load", "-q", "-i", path)


class Podman(Engine):
    name = "podman"
    forms = ("docker-archive", "oci-archive")
    environment = None

    def __init__(self, root):
        super().__init__(root)
        own = ("--root", str(self.root), "--runroot", str(self.run_root / "run"), "--storage-driver", "overlay")
        # crun of Debian 12 starts nothing where cgroup v1 lies beside v2.
        runtime = ("--runtime", "runc") if shutil.which("runc") else ()
        self.command = ["podman", *own, *runtime, "--cgroup-manager", "cgroupfs", "--events-backend", "none"]

    def pull(self, name):
        self.call("pull", "-q", "--tls-verify=false", name)

    def push(self, name):
        self.call("push", "-q", "--tls-verify=false", name)

    def close(self):
        # It binds its store onto itself.
        subprocess.run(["umount", "-l", self.root / "overlay"], check=False, capture_output=True)
        shutil.rmtree(self.run_root)


class Docker(Engine):
    name = "docker"
    command = ("docker",)

    def __init__(self, root):
        super().__init__(root)
        socket = f"unix://{self.run_root}/docker.sock"
        self.environment = {**os.environ, "DOCKER_HOST": socket, "DOCKER_CONFIG": str(self.root / "config")}
        places = ("--data-root", self.root / "data", "--exec-root", self.run_root / "exec", "--host", socket)
        argv = ["dockerd", *places, "--pidfile", self.run_root / "pid", "--iptables=false", "--bridge=none"]
        with (root / "dockerd.log").open("wb") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while subprocess.run(["docker", "version"], capture_output=True, check=False, env=self.environment).returncode:
            assert self.process.poll() is None, (root / "dockerd.log").read_text()
            assert time.monotonic() < deadline, (root / "dockerd.log").read_text()
            time.sleep(0.1)

    def pull(self, name):
        self.call("pull", "-q", name)  # a registry on loopback may speak plain HTTP

    def push(self, name):
        self.call("push", "-q", name)

    def close(self):
        self.process.terminate()
        self.process.wait(60)
        # It binds its data root onto itself, too.
        subprocess.run(["umount", "-l", self.root / "data"], check=False, capture_output=True)
        shutil.rmtree(self.run_root)
