"""A host that Ansible manages over SSH: plays and commands on it, and versions of the package to bring there."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import yaml

from plays import BIN, TOP, assemble, variables

LAB = Path(os.environ.get("BAYPLAN_LAB") or "/var/lib/bayplan-lab")  # a cache
FLEET = TOP / "molecule/fleet"


class Managed:
    """The host ``one`` of the group ``fleet``; who makes it writes ``ssh_config`` into the directory."""

    def __init__(self, directory, address, settings, port=22):
        """``settings`` are variables of every play."""
        self.directory, self.login = directory, ["-F", f"{directory}/ssh_config", "-p", str(port), f"root@{address}"]
        host = {
            "ansible_host": address,
            "ansible_port": port,
            "ansible_user": "root",
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_ssh_common_args": f"-F {directory}/ssh_config",
        }
        # No localhost: a play on all hosts is not to touch this machine.
        groups = {
            "children": {"fleet": {"hosts": {"one": host}}},
            "vars": {"bayplan_become": False, "bayplan_cache": str(LAB / "wheels"), **settings},
        }
        (directory / "inventory.yml").write_text(yaml.safe_dump({"all": groups}))
        collections = directory / "collections"
        assemble(collections)
        self.environment = {
            **variables(collections),
            "ANSIBLE_PIPELINING": "true",
            "MOLECULE_PROJECT_DIRECTORY": str(TOP),
        }

    def play(self, book, *arguments, code=0, **extra):
        """What it says, and how many tasks changed something on the host."""
        given = json.dumps({"bayplan_hosts": "fleet", **extra})
        argv = [BIN / "ansible-playbook", "-i", self.directory / "inventory.yml", book, "-e", given]
        done = subprocess.run([*argv, *arguments], env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        changed = re.search(r"^one +: .*changed=(\d+)", done.stdout, re.MULTILINE)
        return done.stdout + done.stderr, int(changed[1]) if changed else 0

    def ssh(self, command, code=0, timeout_s=120):
        """Its output."""
        argv = ["ssh", *self.login, command]
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=timeout_s
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout


def source(directory, version):
    """This source under that version."""
    made = directory / f"source-{version}"
    made.mkdir()
    for name in ("src", "modules", "plugins", "playbooks", "roles", "meta", "tools", "docs"):
        shutil.copytree(TOP / name, made / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml"):
        shutil.copyfile(TOP / name, made / name)
    for name, line in (("pyproject.toml", "version = "), ("src/bayplan/__init__.py", "__version__ = ")):
        text = (made / name).read_text()
        (made / name).write_text(re.sub(f'^{line}".*"', f'{line}"{version}"', text, flags=re.MULTILINE))
    return made
