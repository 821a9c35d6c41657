"""A build of ten RUN steps, and the same again with everything cached, beside other builders of this host.

``build_peers.py [--runs N]``: ``bayplan build``; buildah (isolated by runc, and by chroot, which starts no
OCI runtime); ``docker build`` with its classic builder and with BuildKit, by a dockerd started here. Those that are not
installed or do not run on this host are left out and named. The base is in every store before; nothing is fetched.
Needs root. Everything is made in stores of its own and removed again. No bar is asserted.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import core
from integration.images.engines import Docker

_STEPS, _FILES = 10, 300
_BASE = "bench/base"
_BUSYBOX = Path("/bin/busybox")


def context(folder):
    """Ten steps that each write a file, after a copy of three hundred small ones."""
    folder.mkdir()
    for number in range(_FILES):
        (folder / f"file-{number}").write_text(f"{number}\n" * 200)
    steps = "".join(f"RUN echo {number} > /made-{number}\n" for number in range(_STEPS))
    (folder / "Dockerfile").write_text(f"FROM {_BASE}\nCOPY . /files\n{steps}")
    return folder


def base(folder):
    """What the base is built from: buildah needs a history of every layer, which an imported file system lacks."""
    folder.mkdir()
    (folder / "bin").mkdir()
    shutil.copy(_BUSYBOX, folder / "bin" / "busybox")
    for name in ("sh", "echo"):
        (folder / "bin" / name).symlink_to("busybox")
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY bin /bin\n")
    return folder


def timed(argv, environment=None):
    """Seconds of a command; None when it fails, with its last words on stderr."""
    began = time.perf_counter()
    done = subprocess.run([str(item) for item in argv], check=False, capture_output=True, env=environment)
    if done.returncode:
        words = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()[-1:]
        print(f"{argv[0]} failed: {''.join(words)}", file=sys.stderr)
        return None
    return time.perf_counter() - began


def both(found, name, argv, environment=None):
    """The build and the rebuild of one tool."""
    first = timed(argv, environment)
    if first is not None:
        found.setdefault(name, []).append(first)
        found.setdefault(f"{name}, cached", []).append(timed(argv, environment))


def ours(found, place, made):
    """``bayplan build``; saves the base for the others too."""
    names = ("state_root", "run_root", "address_pool", "interface_prefix", "nft_table", "cgroup_parent")
    own = {f"BAYPLAN_{name.upper()}": str(getattr(made, name)) for name in names}
    environment = {**os.environ, **own}
    bayplan = [sys.executable, "-m", "bayplan"]
    archive, source = place.parent / "base.tar", place.parent / "base"
    if not source.exists():
        base(source)
    subprocess.run([*bayplan, "build", "-t", _BASE, source], check=True, env=environment, stdout=subprocess.DEVNULL)
    if not archive.exists():
        argv = [*bayplan, "image", "save", "--format", "docker-archive", "-o", archive, _BASE]
        subprocess.run(argv, check=True, env=environment)
    both(found, "bayplan build", [*bayplan, "build", "-t", "made", place], environment)


def buildah(found, place, top):
    """buildah with a store of its own; its isolations one after the other."""
    if not shutil.which("buildah"):
        return
    for isolation in ("oci", "chroot"):
        with tempfile.TemporaryDirectory(dir=top, ignore_cleanup_errors=True) as store:
            own = ["--root", f"{store}/root", "--runroot", f"{store}/run", "--storage-driver", "overlay"]
            tool = ["buildah", *own]
            subprocess.run([*tool, "pull", "-q", f"docker-archive:{top}/base.tar"], check=True, capture_output=True)
            # crun of Debian 12 starts nothing where cgroup v1 lies beside v2.
            runtime = ["--runtime", "runc", "--network", "none"] if isolation == "oci" else []
            limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
            argv = [*tool, "bud", "--layers", "--pull-never", "--isolation", isolation, *runtime, *limits, "-q", place]
            both(found, f"buildah bud, {isolation}", argv)
            subprocess.run(["umount", "-l", f"{store}/root/overlay"], check=False, capture_output=True)


def docker(found, place, engine):
    """``docker build`` without a network of its own, classic and BuildKit; a store that has never seen it."""
    for name, kit in (("classic", "0"), ("BuildKit", "1")):
        engine.call("builder", "prune", "-af") if kit == "1" else None
        argv = ["/usr/bin/docker", "build", "-q", "--network", "none", place]
        both(found, f"docker build, {name}", argv, {**engine.environment, "DOCKER_BUILDKIT": kit})
        engine.call("system", "prune", "-f")


def main():
    """Run all, print minimum, median and maximum."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory(dir="/var/lib", prefix="bayplan-bench-", ignore_cleanup_errors=True) as folder:
        top = Path(folder)
        engine = None
        for number in range(options.runs):
            place = context(top / f"context-{number}")
            with core() as made:
                ours(found, place, made)
            buildah(found, place, top)
            if engine is None and shutil.which("dockerd"):
                engine = Docker(top)
                engine.load(top / "base.tar")
            if engine:
                docker(found, place, engine)
        if engine:
            engine.close()
    for name, values in found.items():
        seen = [value for value in values if value is not None]
        low, middle, high = min(seen), statistics.median(seen), max(seen)
        print(f"{name:<30} min {low:6.2f}  median {middle:6.2f}  max {high:6.2f} s  n={len(seen)}")


if __name__ == "__main__":
    main()
