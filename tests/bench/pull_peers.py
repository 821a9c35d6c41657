"""A pull side by side with other tools, as far as they are installed: ``pull_peers.py [--runs N] [--small] [--zstd]``.

200 MB in five layers from a registry on loopback, until every layer is unpacked:
bayplan pull / skopeo copy and umoci unpack / podman pull.

``--small``: 20,000 small files instead of 2,000 of 100 kB. Needs root. Every tool gets an empty store of its own for
each run, on the same file system; the tools take turns, in another order each round. Nothing is removed before the
end: ext4 looks long for a free inode when many were deleted in the last minutes. No bar is asserted.
"""

import argparse
import os
import random
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import peers

SMALL_FILES, SMALL_BYTES = 4000, 10_000


def tools():
    """Those that are installed: a name, and what gives the seconds of one pull."""
    found = {"bayplan pull": bayplan}
    if shutil.which("skopeo") and shutil.which("umoci"):
        found["skopeo copy, umoci unpack"] = skopeo_umoci
    if shutil.which("podman"):
        found["podman pull"] = podman
    return found


def bayplan(registry, name, folder):
    """Our own command, from its start."""
    conf = folder / "registries.conf"
    conf.write_text(f'[[registry]]\nlocation = "{registry.host}"\ninsecure = true\n')
    places = {"STATE_ROOT": folder / "state", "RUN_ROOT": folder / "run", "REGISTRIES_CONF": conf}
    environment = {**os.environ, **{f"BAYPLAN_{key}": str(value) for key, value in places.items()}}
    return peers.timed(sys.executable, "-m", "bayplan", "pull", name, env=environment)


def skopeo_umoci(registry, name, folder):
    """Both commands one after the other."""
    taken = peers.timed("skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{name}", f"oci:{folder}/o:latest")
    return taken + peers.timed("umoci", "unpack", "--image", f"{folder}/o:latest", f"{folder}/bundle")


def podman(registry, name, folder):
    """With a store of its own."""
    return peers.timed(*peers.podman("podman", folder), "pull", "-q", "--tls-verify=false", name)


def main():
    """Print minimum, median and maximum of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--root", default="/var/lib", help="a directory of the file system to measure on")
    parser.add_argument("--only", choices=sorted(tools()))
    options = parser.parse_args()
    if options.small:
        peers.FILES, peers.FILE_BYTES = SMALL_FILES, SMALL_BYTES
    figures = {name: [] for name in tools() if options.only in (None, name)}
    with tempfile.TemporaryDirectory(dir=options.root, prefix="bayplan-bench-", ignore_cleanup_errors=True) as top:
        registry = peers.Registry(Path(top))
        try:
            registry.push("bench/big", [peers.layer(number) for number in range(peers.LAYERS)])
            for number in range(options.runs):
                for tool in random.sample(sorted(figures), len(figures)):
                    folder = Path(top, f"{number}-{tool.partition(' ')[0]}")
                    folder.mkdir()
                    os.sync()  # what the tool before wrote is not this one's work
                    figures[tool].append(tools()[tool](registry, f"{registry.host}/bench/big", folder))
        finally:
            registry.process.terminate()
            registry.process.wait()
    for name, values in figures.items():
        low, middle, high = min(values), statistics.median(values), max(values)
        print(f"{name:<28} min {low:6.2f}  median {middle:6.2f}  max {high:6.2f} s  n={len(values)}")


if __name__ == "__main__":
    main()
