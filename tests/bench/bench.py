"""Figures of the native core on this machine: ``bench.py [start|stack|residents|planning] [--count N] [--json]``.

    loop    the machine itself: three million additions in Python, before and after the others
    start   one container with network, published port and volume, made and started in this process
    stack   N containers (100) of one Compose file by the command line: up, up again, plan (nothing to do), down, and
            the memory that the plan takes
    planning    plans of 1,000, 3,000 and 10,000 resources on the fake runtime: processor time and memory
    residents   memory of monitors and supervisor, its share of a core with N health checks every 10 s

Needs root. Everything is made in a core of its own and removed again. No bar is asserted: figures go with date and
machine into docs/benchmarks.md.
"""

import argparse
import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import planning
import residents

from bayplan.models import Container, Endpoint, Network, Port, ResourceId, Settings, Volume, VolumeMount
from bayplan.models.base import Kind
from bayplan.runtime.native.runtime import NativeRuntime
from bayplan.system import cgroups
from busybox import add_busybox

# What is measured is the package as installed: with its modules compiled.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

_CROWD, _WIDE = 250, "16.0/20"


def _run_root():
    """/run, or /dev/shm where /run is no tmpfs as systemd makes it: it is for what a reboot ends (hier(7))."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    memory = any(fields[1] == "/run" and fields[2] == "tmpfs" for fields in mounts)
    return Path("/run/bayplan-bench" if memory else "/dev/shm/bayplan-bench")


def _spread(directory):
    """Have ext4 take another group of blocks for each core (chattr(1), "T"), where nothing was deleted lately.

    Without a journal it looks at every inode that was deleted in the last minutes before it takes one, so that each
    core would pay for those before it. Other file systems know no such thing.
    """
    directory.mkdir(parents=True, exist_ok=True)
    subprocess.run(["chattr", "+T", directory], check=False, stderr=subprocess.DEVNULL)


@contextmanager
def core():
    """Settings of a core that nobody else has; its files are removed at the end."""
    tag = secrets.token_hex(3)
    made = Settings(
        state_root=Path(f"/var/lib/bayplan-bench/{tag}"),
        run_root=_run_root() / tag,
        address_pool="10.218.0.0/16",
        interface_prefix=f"b{tag[:4]}",
        nft_table=f"bayplan_bench_{tag}",
        cgroup_parent=f"/bayplan-bench-{tag}",
    )
    _spread(made.state_root.parent)
    add_busybox(made.state_root / "images")
    try:
        yield made
    finally:
        cgroups.remove(made.cgroup_parent)
        shutil.rmtree(made.state_root)
        shutil.rmtree(made.run_root, ignore_errors=True)


def start(count):
    """Milliseconds from the declaration to the running process, for each of ``count`` containers."""
    taken = []
    with core() as settings:
        runtime = NativeRuntime(settings)
        runtime.create(Network(name="bench"), project="")
        runtime.create(Volume(name="bench"), project="")
        for number in range(count):
            container = Container(
                name=f"one-{number}",
                image="lab/busybox",
                command=("sleep", "600"),
                networks=(Endpoint(network="bench"),),
                ports=(Port(target=80, published=20000 + number, host_ip="127.0.0.1"),),
                mounts=(VolumeMount(source="bench", target="/data"),),
                stop_grace_period="0",
            )
            began = time.perf_counter()
            runtime.create(container, project="")
            runtime.start(container.name)
            taken.append((time.perf_counter() - began) * 1000)
        for number in range(count):
            runtime.delete(ResourceId(kind=Kind.CONTAINER, name=f"one-{number}"))
        for kind in (Kind.VOLUME, Kind.NETWORK):
            runtime.delete(ResourceId(kind=kind, name="bench"))
        runtime.close()
    return {"start_ms": taken}


STACK = """
name: bench
services:
  web:
    image: lab/busybox
    command: [sleep, "600"]
    deploy: {{replicas: {count}}}
    volumes: ["data:/data"]
    stop_grace_period: 0s
volumes: {{data: {{}}}}
"""


@contextmanager
def project(text):
    """Settings of a core of its own, and a function that calls the command on a stack.

    It gives the seconds, and the most that the process itself had in memory (MiB).
    """
    with core() as settings, tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "compose.yaml")
        file.write_text(text)
        names = ("state_root", "run_root", "address_pool", "interface_prefix", "nft_table", "cgroup_parent")
        environment = {**os.environ, **{f"BAYPLAN_{name.upper()}": str(getattr(settings, name)) for name in names}}

        def call(*arguments):
            argv = [sys.executable, "-m", "bayplan", "-f", str(file), *arguments]
            began = time.perf_counter()
            with subprocess.Popen(
                argv, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as process:
                _, status, usage = os.wait4(process.pid, 0)  # of this child alone (wait4(2))
                process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                raise subprocess.CalledProcessError(process.returncode, argv)
            return time.perf_counter() - began, usage.ru_maxrss / 1024

        yield settings, call


def stack(count):
    """Seconds of wall time for the command line: up, up again and plan (nothing to do), down; the memory of plan."""
    text = STACK.format(count=count)
    if count > _CROWD:
        text += f"networks: {{default: {{ipam: {{config: [{{subnet: 10.218.{_WIDE}}}]}}}}}}\n"
    with project(text) as (_, call):
        up, again = call("apply")[0], call("apply")[0]
        plan_s, plan_mib = call("plan")
        down = call("destroy", "--volumes")[0]
        return {"up_s": [up], "again_s": [again], "plan_s": [plan_s], "plan_mib": [plan_mib], "down_s": [down]}


def loop():
    """Milliseconds of what is always the same: virtual machines have quick and slow hours."""
    began, total = time.perf_counter(), 0
    for number in range(3_000_000):
        total += number
    return (time.perf_counter() - began) * 1000


def watched(count):
    """See ``residents``."""
    with project(residents.STACK.format(count=count)) as (settings, call):
        call("apply")
        try:
            return residents.measure(settings)
        finally:
            call("destroy")


def main():
    """Run what is asked for, print minimum, median and maximum."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "what", nargs="*", metavar="start|stack|residents|planning", help="what to measure; all when none is named"
    )
    parser.add_argument("--count", type=int, default=100, help="containers of the stack")
    parser.add_argument("--runs", type=int, default=5, help="how often the stack is brought up")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    unknown = set(options.what) - {"start", "stack", "residents", "planning"}
    if unknown:
        parser.error(f"nothing is measured under the name {', '.join(sorted(unknown))}")
    figures = {"loop_ms": [loop()]}
    if not options.what or "start" in options.what:
        figures |= start(50)
    if not options.what or "stack" in options.what:
        for _ in range(options.runs):
            for name, values in stack(options.count).items():
                figures.setdefault(f"stack_{options.count}_{name}", []).extend(values)
    if not options.what or "residents" in options.what:
        figures |= watched(options.count)
    if not options.what or "planning" in options.what:
        for size, found in planning.sizes().items():
            figures |= {f"plan_{size}_{name}": [value] for name, value in found.items()}
    figures["loop_ms"].append(loop())
    if options.json:
        print(json.dumps(figures))
        return
    for name, values in figures.items():
        low, middle, high = min(values), statistics.median(values), max(values)
        print(f"{name:<24} min {low:8.2f}  median {middle:8.2f}  max {high:8.2f}  n={len(values)}")


if __name__ == "__main__":
    main()
