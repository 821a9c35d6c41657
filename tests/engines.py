"""Docker and Podman from the distribution, each as a service of its own for tests: ``serve("docker", root)``.

An engine lives in its own network and mount namespaces: bridges, rules, mounts and all that it writes below /run end
with it. Only its data (below ``root``) and its socket (below /run/bayplan-tests) are seen from outside. A registry
that both may reach without TLS, as they may every one on loopback, runs in the same network namespace.
"""

import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import time
from contextlib import contextmanager
from pathlib import Path

RUN = Path("/run/bayplan-tests")
IMAGE = "docker.io/lab/busybox:latest"
REGISTRY = "127.0.0.1:5000"
CGROUPS = Path("/sys/fs/cgroup")
START_S = 60
OTHER = os.environ.get("BAYPLAN_TESTS_ENGINES_ROOT", "")
"""A root file system with other versions of the engines than this host's: `./run engines` makes one."""

# Private: what the engine mounts stays in its namespace. /run is new, except for the directory with the sockets;
# sysfs shows the links of the namespace in which it is mounted, the cgroups stay those of the host; dockerd writes a
# key below /etc/docker.
_ENTER = r"""
set -e
ip link set lo up
# An address of the host, which containers may ask for (host-gateway).
ip link add host0 type bridge
ip address add 10.204.0.1/24 dev host0
ip link set host0 up
mkdir -p "$1/mnt/run/bayplan-tests" "$1/mnt/cgroup"
mount -n -t tmpfs tmpfs "$1/mnt/run"
mkdir -p "$1/mnt/run/bayplan-tests" "$1/mnt/run/lock"
mount --rbind /run/bayplan-tests "$1/mnt/run/bayplan-tests"
mount --rbind /sys/fs/cgroup "$1/mnt/cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$1/mnt/cgroup" /sys/fs/cgroup
umount -l "$1/mnt/cgroup"
mkdir -p /etc/docker
mount -n -t tmpfs tmpfs /etc/docker
mount -n --move "$1/mnt/run" /run
if [ -n "$2" ]; then
  mount --rbind "$2" "$2"
  for place in /proc /sys /dev /run /tmp /var/lib/bayplan-tests; do
    mkdir -p "$2$place"
    mount --rbind "$place" "$2$place"
  done
  mkdir -p "$2/etc/docker" "$2/.old"
  mount -n -t tmpfs tmpfs "$2/etc/docker"
  cd "$2"
  pivot_root . .old
  umount -l /.old
fi
echo ready
exec sleep infinity
"""


class Engine:
    """One service. ``socket`` is the address for clients, ``pid`` a process in its namespaces."""

    name: str
    more = ()

    def __init__(self, root):
        self.root, self.run_root = root / self.name, RUN / f"{root.name}-{self.name}"
        for path in (self.root / "mnt", self.run_root):
            path.mkdir(parents=True)
        self.path = self.run_root / "engine.sock"
        self.socket = f"unix://{self.path}"
        self.log = self.root / "service.log"
        self.cgroup = f"bayplan-tests-{root.name}"
        self.process = self.registry = None
        argv = [
            "unshare",
            "--net",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            _ENTER,
            "sh",
            str(self.root),
            OTHER,
        ]
        self.holder = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.pid = self.holder.pid
        self.enter = ["nsenter", "--target", str(self.pid), "--net"]
        assert self.holder.stdout.readline() == b"ready\n"

    def start(self):
        """Start the service, again after ``stop`` too; its data are those of before."""
        with self.log.open("ab") as log:
            self.process = self.spawn(self.argv(), log, env={**os.environ, **self.environment()})
        end = time.monotonic() + START_S
        while not self.answers():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)

    def spawn(self, argv, log, **options):
        """A process in the engine's namespaces."""
        command = [*self.enter, "--mount", "--root", "--wdns=/", *(str(item) for item in argv)]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)

    def answers(self):
        """Whether the API is there."""
        probe = ["curl", "-sf", "--unix-socket", str(self.path), "http://engine/_ping"]
        return subprocess.run(probe, check=False, capture_output=True).returncode == 0

    def call(self, *argv, code=0):
        """The engine's own command, on this service; what it wrote."""
        command = [*self.client(), *(str(item) for item in argv)]
        done = subprocess.run(command, capture_output=True, check=False, timeout=120, text=True, env=self.plain())
        assert done.returncode == code, (command, done.stdout, done.stderr)
        return done.stdout.strip()

    def inside(self, *argv, code=0):
        """A command in the engine's network namespace: what a user of that host would see."""
        command = [*self.enter, *(str(item) for item in argv)]
        done = subprocess.run(command, capture_output=True, check=False, timeout=60, text=True)
        assert done.returncode == code, (command, done.stdout, done.stderr)
        return done.stdout

    def serve_registry(self, more=""):
        """A registry on ``REGISTRY``; ``more`` are lines of its configuration."""
        conf = self.root / "registry.yml"
        store = self.root / "registry"
        conf.write_text(
            f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {store}}},"
            f" delete: {{enabled: true}}}}\nhttp: {{addr: '{REGISTRY}'}}\n{more}"
        )
        with (self.root / "registry.log").open("wb") as log:
            argv = [*self.enter, "docker-registry", "serve", str(conf)]
            self.registry = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        probe = [*self.enter, "curl", "-s", f"http://{REGISTRY}/v2/"]
        end = time.monotonic() + START_S
        while subprocess.run(probe, check=False, capture_output=True).returncode:
            assert self.registry.poll() is None, (self.root / "registry.log").read_text()
            assert time.monotonic() < end, "the registry does not answer"
            time.sleep(0.05)

    def push(self, name, image=IMAGE):
        """Give an image of the engine a name in the registry: ``push("app:1")``; the whole name."""
        wanted = f"{REGISTRY}/{name}"
        self.call("tag", image, wanted)
        self.call("push", "-q", wanted)
        self.call("rmi", wanted)
        return wanted

    def move_tag(self, repository, source, target):
        """Let a tag in the registry stand for what another one does; the engine hears nothing of it."""
        url = f"http://{REGISTRY}/v2/{repository}/manifests"
        kinds = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
        manifest = self.inside("curl", "-sf", "-H", f"Accept: {kinds}", f"{url}/{source}")
        kind = json.loads(manifest)["mediaType"]
        self.inside(
            "curl", "-sf", "-X", "PUT", "-H", f"Content-Type: {kind}", "--data-binary", manifest, f"{url}/{target}"
        )

    def clear(self):
        """Remove containers, networks and volumes; images stay."""
        for name in self.call("ps", "-aq", "--no-trunc").split():
            self.call("rm", "-f", "-v", *self.at_once, name)
        self.call("network", "prune", "-f")
        for name in self.call("volume", "ls", "-q").split():  # prune spares those with names, since API 1.42
            self.call("volume", "rm", name)

    def stop(self):
        """End the service as an operator would; its data stay."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(START_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def again(self, *more):
        """Start it anew with more words on its command line."""
        self.stop()
        self.more = more
        self.start()

    def close(self):
        """End everything and remove it."""
        try:
            if self.process is not None and self.process.poll() is None:
                self.clear()
        finally:
            self.stop()
            # While the holder is there, its namespaces say who belongs to it.
            for pid in left_behind(self.pid, self.run_root, self.root) - {self.pid}:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for process in (self.registry, self.holder):
                if process is not None:
                    process.terminate()
                    process.wait()
            self.holder.stdout.close()
            self.remove_cgroups()
            shutil.rmtree(self.run_root)
            shutil.rmtree(self.root)

    def remove_cgroups(self):
        """Those that it leaves empty."""
        for top in CGROUPS.glob(f"*/{self.cgroup}"):
            for path in sorted(top.rglob("*/"), reverse=True):
                path.rmdir()
            top.rmdir()


class Docker(Engine):
    """dockerd with its own containerd."""

    name = "docker"
    at_once = ()

    def argv(self):
        """Its command line."""
        places = ("--data-root", self.root / "data", "--exec-root", self.run_root / "exec", "--host", self.socket)
        own = ("--pidfile", self.run_root / "pid", "--cgroup-parent", f"/{self.cgroup}")
        # The limits of a container may not be higher than those of who starts it.
        limits = ("--default-ulimit", "nofile=1024:1024", "--default-ulimit", "nproc=4096:4096")
        pools = ("--bip", "10.205.0.1/24", "--default-address-pool", "base=10.206.0.0/16,size=24")
        return [str(item) for item in ("dockerd", *own, *places, *limits, *pools, *self.more)]

    def environment(self):
        """For the service."""
        return {}

    def plain(self):
        """For the command."""
        return {**os.environ, "DOCKER_HOST": self.socket, "DOCKER_CONFIG": str(self.root / "config")}

    def client(self):
        """The command."""
        return ["docker"]


class Podman(Engine):
    """``podman system service``; containers outlive it, as everywhere."""

    name = "podman"
    at_once = ("--time", "0", "--depend", "--ignore")

    def argv(self):
        """Its command line."""
        return [*self.client(local=True), "system", "service", "--time", "0", self.socket]

    def environment(self):
        """For the service: nothing of the host's configuration but its policy of signatures."""
        conf, registries = self.root / "containers.conf", self.root / "registries.conf"
        # crun of Debian 12 starts nothing where cgroup v1 lies beside v2.
        conf.write_text(
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n'
            f'[engine]\nruntime = "{"runc" if _has("runc") else "crun"}"\ncgroup_manager = "cgroupfs"\n'
            f'events_logger = "file"\nlock_type = "file"\n[network]\nnetwork_backend = "netavark"\n'
            f'network_config_dir = "{self.root}/networks"\ndefault_subnet = "10.207.0.0/24"\n'
            'default_subnet_pools = [{"base" = "10.208.0.0/16", "size" = 24}]\n'
        )
        registries.write_text(
            f'unqualified-search-registries = ["docker.io"]\n[[registry]]\nlocation = "{REGISTRY}"\ninsecure = true\n'
        )
        # Health checks by systemd's timers are not to be had where PID 1 is another.
        lone = {} if Path("/run/systemd/system").exists() else {"DISABLE_HC_SYSTEMD": "true"}
        return {"CONTAINERS_CONF": str(conf), "CONTAINERS_REGISTRIES_CONF": str(registries), **lone}

    def plain(self):
        """For the command."""
        return {**os.environ, **self.environment()}

    def client(self, *, local=False):
        """The command: of the service itself, or as its client."""
        own = ("--root", f"{self.root}/storage", "--runroot", "/run/podman-storage", "--storage-driver", "overlay")
        if local:
            return ["podman", *own]
        # A client of another version speaks another API.
        there = [*self.enter, "--mount", "--root", "--wdns=/"] if OTHER else []
        return [*there, "podman", "--remote", "--url", self.socket]

    def remove_cgroups(self):
        """Its parent of cgroups has a name that every Podman shares; one that is in use stays."""
        for top in CGROUPS.glob("*/libpod_parent"):
            for path in (*sorted(top.glob("*/"), reverse=True), top):
                with contextlib.suppress(OSError):
                    path.rmdir()


ENGINES = {kind.name: kind for kind in (Docker, Podman)}


def _has(program):
    """Whether an engine would find a program."""
    places = os.pathsep.join(f"{OTHER}{place}" for place in os.environ["PATH"].split(os.pathsep))
    return shutil.which(program, path=places) is not None


def why_not(name):
    """Why an engine cannot be started here; empty when it can."""
    if os.geteuid() != 0:
        return "needs root"
    programs = {"docker": ("dockerd", "containerd", "docker", "iptables"), "podman": ("podman", "conmon")}[name]
    lacking = [item for item in programs if not _has(item)]
    lacking += [item for item in ("docker-registry", "curl", "nsenter") if shutil.which(item) is None]
    return f"not installed: {', '.join(lacking)}" if lacking else ""


@contextmanager
def serve(name, root):
    """An engine of that name with busybox as ``IMAGE``, and the registry."""
    engine = ENGINES[name](root)
    try:
        engine.start()
        archive = root / "busybox.tar"
        archive.write_bytes(busybox_archive())
        engine.call("load", "-q", "-i", archive)
        engine.serve_registry()
        yield engine
    finally:
        engine.close()


def busybox_archive(name=IMAGE, **config):
    """A docker-archive of the static busybox with all its applets; ``config`` are fields of the image's."""
    listed = subprocess.run(["/bin/busybox", "--list"], check=True, capture_output=True, text=True).stdout
    tree = io.BytesIO()
    with tarfile.open(fileobj=tree, mode="w") as tar:
        for folder in ("bin", "etc", "tmp", "www"):
            made = tarfile.TarInfo(folder)
            made.type, made.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(made)
        program = tarfile.TarInfo("bin/busybox")
        program.mode, program.size = 0o755, Path("/bin/busybox").stat().st_size
        with Path("/bin/busybox").open("rb") as source:
            tar.addfile(program, source)
        for applet in listed.split():
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            if applet != "busybox":
                tar.addfile(link)
        for path, text in (
            ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/:/bin/sh\n"),
            ("etc/group", "root:x:0:\napp:x:1000:\n"),
        ):
            _add(tar, path, text.encode())
    layer = tree.getvalue()
    settings = {"Cmd": ["sh"], "Env": ["PATH=/bin"], **config}
    text = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": "2024-01-01T00:00:00Z",
            "config": settings,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
            "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "busybox"}],
        }
    ).encode()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        _add(tar, "config.json", text)
        _add(tar, "layer.tar", layer)
        manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
        _add(tar, "manifest.json", json.dumps(manifest).encode())
    return archive.getvalue()


def _add(tar, path, data):
    member = tarfile.TarInfo(path)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def left_behind(holder, *places):
    """Processes of an engine that outlive it: in its mount namespace, started by such a one, or naming its places."""
    own, parents, found = _read(holder, "ns/mnt"), {}, set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        pid, words = int(entry.name), _read(entry.name, "cmdline") or ""
        parents[pid] = int(((_read(pid, "stat") or "").rpartition(")")[2].split() or [0, 0])[1])
        # What cannot be read is nobody's: an unknown namespace is not the same as another unknown one.
        inside = own is not None and own != _read("self", "ns/mnt") and _read(pid, "ns/mnt") == own
        if inside or any(str(place) in words for place in places):
            found.add(pid)
    spared = {0, 1, *_ancestors(dict(parents))}
    found -= spared
    while more := {pid for pid, parent in parents.items() if parent in found} - found - spared:
        found |= more
    return found


def _ancestors(parents):
    """This process, and those that it was started by."""
    pid = os.getpid()
    while pid in parents:
        yield pid
        pid = parents.pop(pid)


def _read(pid, name):
    path = Path(f"/proc/{pid}/{name}")
    with contextlib.suppress(OSError):
        return str(path.readlink()) if name.startswith("ns/") else path.read_bytes().decode(errors="replace")
    return None
