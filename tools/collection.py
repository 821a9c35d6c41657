"""Assemble the Ansible collection ``bayplan.containers``, whose parts stand at the top of this repository.

``tools/collection.py --copy DIR`` copies it to ``DIR/ansible_collections/bayplan/containers``: releases, wheels, sanity
tests. ``--link DIR`` links it there, so that edits are seen: what an editable install does. A tree that is already at
that place is replaced. Standard library only: builds run it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
PLACE = "ansible_collections/bayplan/containers"
MARK = "# Assembled by tools/collection.py\n"
FILES = ("README.md", "CHANGELOG.md", "LICENSE", "docs/ansible.md", "docs/compose.md", "meta/runtime.yml")
FOLDERS = ("LICENSES", "playbooks", "roles")
# Each release of ansible-core reads a file of its own of what its sanity tests may find.
ANSIBLE_CORES = ("2.17", "2.18", "2.19", "2.20", "2.21")
LITTER = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


def parts() -> Iterator[tuple[Path, str]]:
    """Each part's place here and its path in the collection. What is not there (yet) is left out."""
    yield TOP / "modules", "plugins/modules"
    for folder in sorted((TOP / "plugins").iterdir()):
        if folder.is_dir() and folder.name != "__pycache__":
            yield folder, f"plugins/{folder.name}"
    for name in (*FOLDERS, *FILES):
        if (TOP / name).exists():
            yield TOP / name, name


def galaxy() -> str:
    """The text of galaxy.yml: the template and the version of the package."""
    version = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["version"]
    return f"{MARK}version: {version}\n{(TOP / 'meta/galaxy.yml').read_text()}"


def assemble(root: Path, *, link: bool) -> Path:
    """Write the tree below ``root`` and give its top. Raises SystemExit when something else is in its place."""
    top = root / PLACE
    if top.exists():
        manifest = top / "galaxy.yml"
        if not manifest.is_file() or not manifest.read_text().startswith(MARK):
            raise SystemExit(f"{top} was not assembled by this tool; remove it, or name another directory")
        shutil.rmtree(top)
    top.mkdir(parents=True)
    for source, name in parts():
        target = top / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if link:
            target.symlink_to(os.path.relpath(source, target.parent), target_is_directory=source.is_dir())
        elif source.is_dir():
            shutil.copytree(source, target, ignore=LITTER)
        else:
            shutil.copyfile(source, target)
    (top / "galaxy.yml").write_text(galaxy())
    ignored = top / "tests/sanity"
    ignored.mkdir(parents=True, exist_ok=True)
    for release in ANSIBLE_CORES:
        shutil.copyfile(TOP / "meta/sanity-ignore.txt", ignored / f"ignore-{release}.txt")
    return top


def main() -> None:
    """Assemble as the options say and print where."""
    parser = argparse.ArgumentParser(description="Assemble the Ansible collection.")
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--copy", metavar="DIR", type=Path, help="copy below DIR")
    form.add_argument("--link", metavar="DIR", type=Path, help="link below DIR")
    arguments = parser.parse_args()
    print(assemble((arguments.copy or arguments.link).resolve(), link=arguments.copy is None))


if __name__ == "__main__":
    main()
