"""A Compose file applied through Docker, beside Docker Compose on the same engine.

``engine_peers.py [--runs N] [--count N] [--many N]``: ``count`` services (20) up from nothing and up again, by
``bayplan --engine docker apply`` and by ``docker-compose up -d`` in turn; then ``bayplan plan`` of ``many`` containers
(100) that are as declared. The dockerd is one of this program's own. Needs root. No bar is asserted.
"""

import argparse
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import engines

_SERVICE = """\
  s{number}:
    image: lab/busybox
    command: [sleep, "3600"]
    stop_grace_period: 0s
    environment: {{NUMBER: "{number}"}}
"""
_CROWD = """\
  web:
    image: lab/busybox
    command: [sleep, "3600"]
    stop_grace_period: 0s
    deploy: {{replicas: {count}}}
"""


def timed(argv, environment):
    """Seconds of a command, which must succeed."""
    began = time.perf_counter()
    done = subprocess.run(argv, check=False, capture_output=True, env=environment, text=True)
    taken = time.perf_counter() - began
    assert done.returncode == 0, (argv, done.stdout[-2000:], done.stderr[-2000:])
    return taken


def tools(engine, state, file):
    """Name to what runs a verb of each tool, and its environment."""
    plain = engine.plain()
    ours = {**plain, "BAYPLAN_STATE_ROOT": str(state), "BAYPLAN_ENGINE": "docker"}
    # As an installed package has its modules compiled.
    ours["PYTHONDONTWRITEBYTECODE"] = ""
    compose = shutil.which("docker-compose", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    return {
        "bayplan": ([sys.executable, "-m", "bayplan", "-f", str(file)], ours, ("apply",), ("destroy",)),
        "compose": ([compose, "-f", str(file)], plain, ("up", "-d"), ("down", "-t", "0")),
    }


def rounds(engine, top, options):
    """Seconds by tool and case."""
    found = {}
    file = top / "compose.yaml"
    for number in range(options.runs):
        for name in ("bayplan", "compose") if number % 2 == 0 else ("compose", "bayplan"):
            services = "".join(_SERVICE.format(number=item) for item in range(options.count))
            file.write_text(f"name: {name}-bench\nservices:\n{services}")
            argv, environment, up, down = tools(engine, top / "state", file)[name]
            for case in ("cold", "unchanged"):
                found.setdefault(f"{name} {' '.join(up)}, {case}", []).append(timed([*argv, *up], environment))
            found.setdefault(f"{name} {' '.join(down)}", []).append(timed([*argv, *down], environment))
    file.write_text(f"name: crowd\nservices:\n{_CROWD.format(count=options.many)}")
    argv, environment, up, down = tools(engine, top / "state", file)["bayplan"]
    timed([*argv, *up], environment)
    name = f"bayplan plan of {options.many}, nothing to do"
    found[name] = [timed([*argv, "plan"], environment) for _ in range(options.runs)]
    timed([*argv, *down], environment)
    return found


def main():
    """Run all, print minimum, median and maximum."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--many", type=int, default=100)
    options = parser.parse_args()
    root = Path("/var/lib/bayplan-bench") / secrets.token_hex(4)
    root.mkdir(parents=True)
    try:
        with engines.serve("docker", root) as engine, tempfile.TemporaryDirectory() as folder:
            found = rounds(engine, Path(folder), options)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    for name, taken in sorted(found.items()):
        row = f"{name:<40} min {min(taken):6.2f}  median {statistics.median(taken):6.2f}  max {max(taken):6.2f} s"
        print(f"{row}  n={len(taken)}")


if __name__ == "__main__":
    main()
