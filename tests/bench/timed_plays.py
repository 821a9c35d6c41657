"""Plays that are timed: a copy of the collection, an inventory, and ansible-playbook as a user starts it."""

import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import yaml

TOP = Path(__file__).resolve().parents[2]
PLAYBOOK = Path(sys.executable).parent / "ansible-playbook"


class Plays:
    """Plays below ``folder``; ``also`` is a directory with other collections, ``python`` the targets' interpreter."""

    def __init__(self, folder, also="", path="", python=sys.executable):
        collections = folder / "collections"
        subprocess.run([sys.executable, TOP / "tools/collection.py", "--copy", collections], check=True, stdout=-3)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "BAYPLAN_"))}
        self.environment = {
            **kept,
            "ANSIBLE_COLLECTIONS_PATH": f"{collections}:{also}",
            "ANSIBLE_HOME": str(folder / "home"),
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder / "cp"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "PATH": path or os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
        }
        self.folder, self.python, self.taken, self.used = folder, str(python), {}, {}

    def inventory(self, hosts):
        """Host to variables, for the plays from now on."""
        everyone = {"ansible_python_interpreter": self.python}
        listed = {"all": {"hosts": hosts, "vars": everyone}}
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(listed))

    def run(self, name, tasks, forks=5, **keywords):
        """Seconds of a play of these tasks; kept under its name."""
        book = self.folder / "play.yml"
        book.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": tasks, **keywords}]))
        argv = [PLAYBOOK, "-i", self.folder / "hosts.yml", "-f", str(forks), book]
        began, before = time.perf_counter(), _used()
        done = subprocess.run(argv, env=self.environment, capture_output=True, text=True, check=False)
        taken = time.perf_counter() - began
        assert done.returncode == 0, done.stdout + done.stderr
        self.taken.setdefault(name, []).append(taken)
        self.used.setdefault(name, []).append(_used() - before)
        return done.stdout

    def median(self, name):
        """Of the seconds that plays of that name took."""
        return statistics.median(self.taken[name])

    def processor(self, name):
        """Seconds of processor time, likewise: of Ansible and what it has waited for, not of a server's side."""
        return statistics.median(self.used[name])

    def table(self):
        """A line for each name."""
        return "\n".join(
            f"{name:<52} min {min(taken):6.2f}  median {statistics.median(taken):6.2f}  max {max(taken):6.2f} s"
            f"  processor {self.processor(name):6.2f} s  n={len(taken)}"
            for name, taken in self.taken.items()
        )


def _used():
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime


def verdict(name, figure, bar):
    """A figure and its bar, as a line."""
    return f"{name:<64} {figure:6.2f}  bar {bar:5.2f}  {'met' if figure <= bar else 'missed'}"
