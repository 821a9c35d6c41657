"""One host of molecule/fleet, bare at first: the role makes it ready, upgrades it, takes itself away."""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

TOP = Path(__file__).resolve().parents[3]
LAB = Path(os.environ.get("BAYPLAN_LAB") or "/var/lib/bayplan-lab")  # a cache, as the hosts' image
BIN = Path(sys.executable).parent
FLEET = TOP / "molecule/fleet"

pytestmark = [
    pytest.mark.host,
    pytest.mark.fleet,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not shutil.which("mmdebstrap") or not shutil.which("ssh"), reason="needs mmdebstrap and ssh"),
]


class Fleet:
    """One host, its machine's settings, and plays on both."""

    def __init__(self, directory):
        tag = secrets.token_hex(2)
        self.directory = directory
        self.address = f"10.{100 + secrets.randbelow(20)}.{secrets.randbelow(200)}.11"
        self.settings = {
            "state_root": f"/var/lib/bayplan-tests/{tag}",
            "run_root": f"/run/bayplan-tests/{tag}",
            "address_pool": "10.213.0.0/16",
            "interface_prefix": f"f{tag[:3]}",
            "nft_table": f"bayplan_test_{tag}",
            "cgroup_parent": f"/bayplan-test-{tag}",
        }
        host = {"ansible_host": self.address, "ansible_user": "root", "ansible_python_interpreter": "/usr/bin/python3"}
        host["ansible_ssh_common_args"] = f"-F {directory}/ssh_config"
        variables = {
            "fleet_directory": str(directory),
            "fleet_addresses": {"one": self.address},
            "fleet_subnet": f"{self.address.rpartition('.')[0]}.0/24",
            "fleet_settings": self.settings,
            "bayplan_become": False,
            "bayplan_cache": str(LAB / "wheels"),
        }
        # No localhost: a play on all hosts is not to touch this machine.
        groups = {"children": {"fleet": {"hosts": {"one": host}}}, "vars": variables}
        (directory / "inventory.yml").write_text(yaml.safe_dump({"all": groups}))
        collection = [sys.executable, TOP / "tools/collection.py", "--copy", directory / "collections"]
        subprocess.run(collection, check=True, capture_output=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "BAYPLAN_"))}
        self.environment = {
            **kept,
            "ANSIBLE_COLLECTIONS_PATH": str(directory / "collections"),
            "ANSIBLE_HOME": str(directory / "home"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "LC_ALL": "C.UTF-8",
            "MOLECULE_PROJECT_DIRECTORY": str(TOP),
        }

    def play(self, book, *arguments, code=0, **variables):
        """What it says, and how many tasks changed something on the host."""
        extra = json.dumps({"bayplan_hosts": "fleet", **variables})
        argv = [BIN / "ansible-playbook", "-i", self.directory / "inventory.yml", book, "-e", extra]
        done = subprocess.run([*argv, *arguments], env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        changed = re.search(r"^one +: .*changed=(\d+)", done.stdout, re.MULTILINE)
        return done.stdout + done.stderr, int(changed[1]) if changed else 0

    def ssh(self, command, code=0):
        """Its output."""
        argv = ["ssh", "-F", self.directory / "ssh_config", f"root@{self.address}", command]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def fleet(tmp_path):
    made = Fleet(tmp_path)
    try:
        made.play(FLEET / "create.yml")
        yield made
    finally:
        made.play(FLEET / "destroy.yml")


def wheel(directory, version):
    """One of this source under that version."""
    source = directory / f"source-{version}"
    source.mkdir()
    for name in ("src", "modules", "plugins", "playbooks", "roles", "meta", "tools", "docs"):
        shutil.copytree(TOP / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml"):
        shutil.copyfile(TOP / name, source / name)
    for name, line in (("pyproject.toml", "version = "), ("src/bayplan/__init__.py", "__version__ = ")):
        text = (source / name).read_text()
        (source / name).write_text(re.sub(f'^{line}".*"', f'{line}"{version}"', text, flags=re.MULTILINE))
    return source


def containers(fleet):
    """Processes of the host's containers, and of their monitors."""
    found = fleet.ssh("pgrep -x conmon; pgrep -f '[h]ttpd -f'").split()
    assert len(found) >= 2
    return found


def test_from_bare_to_ready_upgraded_and_bare_again(fleet, tmp_path):
    first, second = wheel(tmp_path, "0.1.1"), wheel(tmp_path, "0.1.2")
    install = "bayplan.containers.install"
    settings = {"address_pool": "10.212.0.0/16"}

    said, foretold = fleet.play(install, "--check", bayplan_package=str(first), bayplan_config=settings)
    assert foretold
    assert "crun" in said
    fleet.ssh("! command -v crun && ! test -e /opt/bayplan && ! test -e /etc/bayplan")
    fleet.play(install, bayplan_package=str(first), bayplan_config=settings)
    assert fleet.play(install, bayplan_package=str(first), bayplan_config=settings)[1] == 0
    assert fleet.ssh("/opt/bayplan/bin/bayplan --version") == "bayplan 0.1.1\n"

    fleet.play(FLEET / "stack.yml")
    assert fleet.play(FLEET / "stack.yml")[1] == 0
    before = containers(fleet)
    assert fleet.play(install, "--check", bayplan_package=str(second))[1]
    fleet.play(install, bayplan_package=str(second))
    assert fleet.play(install, bayplan_package=str(second))[1] == 0
    assert fleet.ssh("/opt/bayplan/bin/bayplan --version") == "bayplan 0.1.2\n"
    assert containers(fleet) == before
    assert fleet.play(FLEET / "stack.yml")[1] == 0, "the newer version sees nothing to do"

    # A bad update goes back by itself; a good one by hand.
    update = {"project_src": "/srv/web", "bayplan_probe": "http://127.0.0.1/"}
    bad = {"env": {"VERSION": "3", "BROKEN": "yes"}}
    said, _ = fleet.play("bayplan.containers.rolling_update", code=2, **update, **bad)
    assert "It is not as it should be" in said
    assert "version 1" in page(fleet)
    fleet.play("bayplan.containers.rolling_update", **update, env={"VERSION": "2"})
    assert "version 2" in page(fleet)
    assert fleet.play("bayplan.containers.rollback", "--check", project_name="web")[1]
    fleet.play("bayplan.containers.rollback", project_name="web")
    assert "version 1" in page(fleet)

    assert "No drift" not in fleet.play("bayplan.containers.drift", project_name="web")[0]
    fleet.ssh("/opt/bayplan/bin/bayplan -p web stop front")
    assert "web has drifted on one" in fleet.play("bayplan.containers.drift", code=2, project_name="web")[0]
    assert fleet.play("bayplan.containers.drift", project_name="web", heal=True)[1]
    assert "version 1" in page(fleet)

    said, _ = fleet.play(install, code=2, bayplan_state="absent")
    assert "still has 1 containers" in said
    fleet.play(FLEET / "cleanup.yml")


def page(fleet):
    """What the host answers."""
    return fleet.ssh("cat /proc/$(pgrep -f '[h]ttpd -f')/root/page/index.html")
