"""A registry on loopback with base images under their public names: ``lab.py up|down|stop|status|public``.

It stands in for the public registry where none can be reached. See docs/lab.md.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from images import RECIPES, build
from push import push

LAB = Path(os.environ.get("BAYPLAN_LAB") or "/var/lib/bayplan-lab")
CONF = LAB / "registries.conf"
PID = LAB / "registry.json"
START_S = 20
PUBLIC = "https://registry-1.docker.io/v2/"


def started(pid):
    """Start time of a process in clock ticks since boot (proc_pid_stat(5), field 22); None when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return None


def running():
    """The record of the registry, if the process it names is the one that was started."""
    try:
        record = json.loads(PID.read_text())
    except (OSError, ValueError):
        return None
    return record if started(record["pid"]) == record["started"] else None


def answers(port):
    """Whether the registry's API is there."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=2) as reply:
            return reply.status == 200
    except OSError:
        return False


def serve():
    """Start the registry on a free port and write its record and the mirror setting. Returns the port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(LAB / "storage")}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (LAB / "registry.yml").write_text(json.dumps(config))  # JSON is YAML
    with (LAB / "registry.log").open("wb") as log:
        argv = ["docker-registry", "serve", str(LAB / "registry.yml")]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    PID.write_text(json.dumps({"pid": process.pid, "started": started(process.pid), "port": port}))
    end = time.monotonic() + START_S
    while not answers(port):
        if process.poll() is not None or time.monotonic() > end:
            sys.exit(f"the registry did not start: see {LAB / 'registry.log'}")
        time.sleep(0.02)
    mirror = f'[[registry.mirror]]\nlocation = "127.0.0.1:{port}"\ninsecure = true\n'
    CONF.write_text(f'[[registry]]\nprefix = "docker.io"\nlocation = "docker.io"\n{mirror}')
    return port


def up():
    """Make what is missing; quick when all is there."""
    LAB.mkdir(parents=True, exist_ok=True)
    record = running()
    port = record["port"] if record and answers(record["port"]) else serve()
    for recipe in RECIPES:
        mark = LAB / "pushed" / f"{recipe.repository.replace('/', '_')}-{recipe.key()}"
        if not mark.exists():
            sys.stderr.write(f"== building {recipe.repository}:{', '.join(recipe.tags)}\n")
            layer = build(recipe, LAB)
            push(port, recipe, layer)
            layer.unlink()
            mark.parent.mkdir(exist_ok=True)
            mark.touch()
    sys.stdout.write(f"{CONF}\n")


def stop():
    """End the registry that this lab started."""
    record = running()
    if record is None:
        return
    descriptor = os.pidfd_open(record["pid"])
    try:
        if started(record["pid"]) == record["started"]:
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        while started(record["pid"]) == record["started"] and not zombie(record["pid"]):
            time.sleep(0.02)
    finally:
        os.close(descriptor)


def zombie(pid):
    """Whether a process has ended and nobody has asked for its status: PID 1 of some containers never does."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def down():
    """Remove everything the lab made."""
    stop()
    shutil.rmtree(LAB, ignore_errors=True)


def public():
    """Exit with 0 when the public registry answers at all (it asks for a token: 401), else with 1."""
    try:
        urllib.request.urlopen(PUBLIC, timeout=3)
    except urllib.error.HTTPError:
        return
    except OSError:
        sys.exit(1)


def status():
    """Say whether the registry runs, and where."""
    record = running()
    sys.stdout.write(f"registry on 127.0.0.1:{record['port']}, {LAB}\n" if record else "no lab is up\n")


if __name__ == "__main__":
    verbs = {"up": up, "down": down, "stop": stop, "status": status, "public": public}
    if len(sys.argv) != 2 or sys.argv[1] not in verbs:
        sys.exit("usage: lab.py up|down|stop|status|public")
    verbs[sys.argv[1]]()
