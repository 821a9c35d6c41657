# Copyright: the Bayplan contributors. Apache-2.0
"""On the controller: the package and all that it needs as wheels for hosts of one kind, in one archive.

``wheels.py PACKAGE CACHE PYTHON MACHINE GLIBC`` prints the archive's path as JSON; its name changes
exactly when what is in it does. PACKAGE is a wheel, a directory with the source, a requirement, or empty: what this
interpreter has. Standard library and pip only.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from email.parser import Parser
from pathlib import Path
from urllib.parse import unquote, urlsplit


def own() -> str:
    """What the controller's package was installed from (PEP 610), else its version."""
    try:
        found = importlib.metadata.distribution("bayplan")
    except importlib.metadata.PackageNotFoundError:
        sys.exit("the controller has no package bayplan: name a wheel, a directory or a version in bayplan_package")
    url = urlsplit(json.loads(found.read_text("direct_url.json") or "{}").get("url", ""))
    path = unquote(url.path)
    return path if url.scheme == "file" and Path(path).exists() else f"bayplan=={found.version}"


def pip(*arguments: str) -> None:
    """Run it, quietly. Ends the program with what it says when it fails."""
    argv = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"pip {arguments[0]} fails on the controller: {(done.stderr or done.stdout).strip()[-2000:]}")


def built(source: Path, into: Path) -> Path:
    """The wheel of a directory with the source; by the builder that is here, else by one that pip fetches."""
    here = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    pip("wheel", "--no-deps", *here, "--wheel-dir", str(into), str(source))
    return next(into.glob("*.whl"))


def platforms(machine: str, glibc: str) -> list[str]:
    """Options that name every platform whose wheels such a host runs, the newest first (PEP 600)."""
    newest = int(glibc.split(".")[1])
    names = [f"manylinux_2_{minor}_{machine}" for minor in range(newest, 16, -1)]
    return [f"--platform={name}" for name in (*names, f"manylinux2014_{machine}", f"linux_{machine}")]


def requirements(wheel: Path) -> list[str]:
    """What a wheel needs without its extras (core metadata, "Requires-Dist")."""
    with zipfile.ZipFile(wheel) as file:
        name = next(name for name in file.namelist() if name.endswith(".dist-info/METADATA"))
        found = Parser().parsestr(file.read(name).decode()).get_all("Requires-Dist", [])
    return sorted(line for line in found if "extra ==" not in line)


def fetched(wanted: list[str], cache: Path, kind: tuple[str, str, str]) -> Path:
    """A directory with wheels for these requirements and what they need.

    Fetched once, so that an upgrade of the package alone asks no index.
    """
    python, machine, glibc = kind
    target = cache / f"wheels-{key_of(*wanted, *kind)}"
    if not target.exists():
        how = ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            pip("download", *how, *platforms(machine, glibc), f"--dest={scratch}/wheels", *wanted)
            Path(scratch, "wheels").rename(target)
    return target


def key_of(*parts: str) -> str:
    """A short name for all of them."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def archive(package: str, cache: Path, kind: tuple[str, str, str]) -> Path:
    """Make it, unless it was made before."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        given = Path(package)
        wheel = built(given, Path(scratch)) if given.is_dir() else given if package.endswith(".whl") else None
        if wheel and not wheel.is_file():
            sys.exit(f"{wheel} is not there; bayplan_package names a wheel on the controller")
        content = hashlib.sha256(wheel.read_bytes()).hexdigest() if wheel else package
        target = cache / f"bayplan-{key_of(content, *kind)}.tar"
        if not target.exists():
            wheels = fetched(requirements(wheel) if wheel else [package], cache, kind)
            made = Path(scratch, "archive")
            with tarfile.open(made, "w") as tar:
                tar.add(wheels, "wheels")
                if wheel:
                    tar.add(wheel, f"wheels/{wheel.name}")
            made.rename(target)
    return target


def main() -> None:
    """Print where the archive is, and its key."""
    package, cache, *kind = sys.argv[1:]
    python, machine, glibc = kind
    found = archive(package or own(), Path(cache).expanduser().resolve(), (python, machine, glibc))
    print(json.dumps({"path": str(found), "key": found.stem}))


if __name__ == "__main__":
    main()
