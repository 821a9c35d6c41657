"""Containers of one core without networks and images: made, run, and looked at from inside and from the kernel."""

import secrets
import time
from pathlib import Path

from bayplan.models import Container, Duration
from bayplan.runtime.native.containers.containers import Containers
from bayplan.runtime.native.images.stored import ImageConfig
from bayplan.runtime.native.state.database import Database
from bayplan.system import cgroups


class Host:
    """One core over a directory that serves as the one layer of every image."""

    def __init__(self, settings, rootfs):
        self.settings, self.rootfs = settings, rootfs
        self.database = Database(settings.state_root / "records.sqlite")
        self.containers = Containers(settings, self.database)

    def create(self, name, *command, image=None, volumes=None, **options):
        options.setdefault("network_mode", "none")
        container = Container(name=name, image="busybox", command=command, **options)
        container_id = secrets.token_hex(32)
        self.containers.reserve(container_id, container, "p", "sha256:0")
        self.containers.create(container_id, image or ImageConfig(), (self.rootfs,), volumes or {})
        return container_id

    def start(self, name, *command, **options):
        made = self.create(name, *command, **options)
        self.containers.start(made, None, {})
        for _ in range(1000):
            if not self._is_runtime(made):
                break
            time.sleep(0.005)
        return made

    def _is_runtime(self, container_id):
        """Whether the first process is still the OCI runtime, about to become the container's program."""
        try:
            program = str(proc(self.pid(container_id), "exe").readlink())
            return program.startswith("/memfd:") or program.endswith("crun")
        except (FileNotFoundError, ProcessLookupError):
            return False

    def output(self, name, script, **options):
        """What a shell script in a new container wrote, once it has ended well."""
        made = self.start(name, "/bin/sh", "-c", script, **options)
        self.containers.wait(made, "service_completed_successfully", Duration(seconds=20))
        return [line.text for line in self.containers.logs(made)]

    def pid(self, container_id):
        return self.containers.status(container_id).pid

    def limit(self, container_id, controller, file):
        """A file of the container's cgroup: v2's, or that of a v1 controller."""
        path = self.containers._paths(container_id).cgroup.lstrip("/")
        top = cgroups.ROOT if cgroups.is_unified() else cgroups.ROOT / controller
        found = sorted((top / path).rglob(file))
        return found[0].read_text().strip()

    def edit(self, container_id, **options):
        """Change fields of the declaration in place."""
        before = self.containers.declared(container_id)
        self.containers.update(container_id, Container.model_validate({**before.model_dump(), **options}))

    def close(self):
        for row in self.database.query("SELECT id FROM containers"):
            self.containers.delete(row["id"])
        self.database.close()


def proc(pid, name):
    return Path(f"/proc/{pid}/{name}")


def status_of(pid):
    """The fields of /proc/PID/status."""
    return dict(line.split(":\t", 1) for line in proc(pid, "status").read_text().splitlines() if ":\t" in line)
