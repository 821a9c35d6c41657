"""Plays of the real ansible-playbook with a copy of the collection; results come back as a program reads them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

TOP = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent


def assemble(root):
    """A copy of the collection, as a release is made."""
    subprocess.run([sys.executable, TOP / "tools/collection.py", "--copy", root], check=True, capture_output=True)
    return root / "ansible_collections/bayplan/containers"


def variables(collections):
    """The environment of Ansible's commands: this copy of the collection, nothing of the user's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "BAYPLAN_"))}
    return {
        **kept,
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_HOME": str(collections / "home"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_NOCOLOR": "1",
        "LC_ALL": "C.UTF-8",
    }


def play(environment, directory, tasks, settings, *, arguments=(), code=0, **keywords):
    """Run (module, options[, keywords of the task]); each task's result, of failed ones as well, and what was written.

    ``settings`` are those of every module, ``keywords`` those of the play.
    """
    file, results = directory / "play.yml", directory / "results.json"
    steps = [
        {
            f"bayplan.containers.{name}": options,
            "register": f"result_{number}",
            "ignore_errors": True,
            **(extra[0] if extra else {}),
        }
        for number, (name, options, *extra) in enumerate(tasks)
    ]
    listed = ", ".join(f"result_{number}" for number in range(len(tasks)))
    save = {"content": f"{{{{ [{listed}] | to_json }}}}", "dest": str(results), "mode": "0600"}
    steps.append({"ansible.builtin.copy": save, "check_mode": False, "diff": False, "no_log": True})
    book = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
        "module_defaults": {"group/bayplan.containers.all": {"settings": settings}},
        "tasks": steps,
        **keywords,
    }
    file.write_text(yaml.safe_dump([book]))
    argv = [BIN / "ansible-playbook", "-i", "localhost,", file, "--diff", *arguments]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    assert done.returncode == code, output
    return json.loads(results.read_text()), output
