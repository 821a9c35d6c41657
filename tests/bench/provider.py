"""Figures of the Pulumi provider: ``provider.py [--count N] [--json]``. Needs root.

    start     the plugin as a process: to its port, and to its first answer
    diff      one resource of each kind that is as it should be, asked one after the other
    up        N containers (50) asked for at once, as Pulumi does, against ``bayplan apply`` of the same stack; in turn,
              each in a core of its own. What Pulumi's own engine needs is not in it

Everything is made in cores of their own and removed again. No bar is asserted: figures go with date and machine into
docs/benchmarks.md.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from google.protobuf.empty_pb2 import Empty

from plugin import Core, plugin

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
_TIMES = 5
_AT_ONCE = 16
"""What Pulumi asks for at the same time when nothing else is said (``pulumi up --parallel``)."""
_SLEEP = {"image": "lab/busybox", "command": ["sleep", "600"], "stopGracePeriod": "100ms"}


def start():
    """Seconds to the port and to the first answer, the median of some."""
    found = []
    for _ in range(2 * _TIMES):
        began = time.perf_counter()
        with plugin(None) as started:
            port = time.perf_counter() - began
            started.stub.GetPluginInfo(Empty())
            found.append((port, time.perf_counter() - began))
    return {"port": _median(one[0] for one in found), "answer": _median(one[1] for one in found)}


def diff():
    """Milliseconds of one Diff of a resource that is as it should be."""
    core, found = Core(), {}
    try:
        with plugin(core.configuration) as asked:
            wanted = {"Volume": {}, "Network": {}, "Container": {**_SLEEP, "networkMode": "none"}}
            for kind, declared in wanted.items():
                inputs = asked.checked(kind, declared)
                id_, state = asked.create(kind, inputs)
                took, ask = [], asked.differ(kind, id_, inputs, state, inputs)
                for _ in range(100):
                    began = time.perf_counter()
                    assert ask().changes == 1
                    took.append(time.perf_counter() - began)
                found[kind.lower()] = _median(took[10:]) * 1000
    finally:
        core.clean()
    return found


def up(count):
    """Seconds for so many containers: by the provider, by the command, and how one is to the other."""
    pairs = [(_by_provider(count), _by_command(count)) for _ in range(_TIMES)]
    ours, command = (_median(pair[index] for pair in pairs) for index in (0, 1))
    return {"provider": ours, "command": command, "ratio": _median(one / other for one, other in pairs)}


def _by_provider(count):
    core = Core()
    try:
        with plugin(core.configuration) as asked, ThreadPoolExecutor(_AT_ONCE) as pool:
            net, _ = asked.create("Network", asked.checked("Network", {"name": "net"}))
            began = time.perf_counter()

            def make(number):
                declared = {**_SLEEP, "name": f"c{number}", "networks": [{"network": net}]}
                return asked.create("Container", asked.checked("Container", declared))[1]["state"]

            states = list(pool.map(make, range(count)))
            took = time.perf_counter() - began
            assert set(states) == {"running"}
            return took
    finally:
        core.clean()


def _by_command(count):
    core = Core()
    service = {"image": "lab/busybox", "command": ["sleep", "600"], "stop_grace_period": "100ms"}
    services = {f"c{number}": service for number in range(count)}
    environment = {**os.environ, **{f"BAYPLAN_{name.upper()}": str(value) for name, value in core.values.items()}}
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "compose.yaml"
            file.write_text(json.dumps({"name": "many", "services": services}))
            began = time.perf_counter()
            argv = [sys.executable, "-m", "bayplan", "-f", file, "apply"]
            subprocess.run(argv, env=environment, check=True, stdout=subprocess.DEVNULL)
            return time.perf_counter() - began
    finally:
        core.clean()


def _median(values):
    return round(statistics.median(values), 4)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help="start, diff, up; all of them when none is named")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    wanted = options.what or ["start", "diff", "up"]
    found = {name: up(options.count) if name == "up" else {"start": start, "diff": diff}[name]() for name in wanted}
    if options.json:
        print(json.dumps(found))
        return
    for name, figures in found.items():
        print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
