"""Twenty common shapes of tasks for community.docker, run after a change of the module names alone."""

import os
import re
import subprocess

import pytest
import yaml

from plays import BIN, TOP

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
NAMES = {
    "docker_compose_v2": "stack",
    "docker_container_copy_into": "container_copy",
    "docker_image_tag": "image",
    **{f"docker_{name}": name for name in ("container", "container_exec", "container_info", "host_info", "image")},
    **{f"docker_{name}": name for name in ("image_info", "network", "network_info", "volume", "volume_info")},
}
PROJECT = {"web": {"image": "lab/busybox", "command": ["sleep", "600"], "stop_grace_period": "1s"}}


def test_the_playbook_works_with_other_names(core, environment, tmp_path):
    text = (TOP / "tests/integration/ansible/community.yml").read_text()
    text = re.sub(r"community\.docker\.(\w+):", lambda found: f"bayplan.containers.{NAMES[found[1]]}:", text)
    (tmp_path / "build").mkdir()
    (tmp_path / "build/Dockerfile").write_text("FROM lab/busybox\nARG GREETING\nLABEL greeting=$GREETING\n")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/compose.yaml").write_text(yaml.safe_dump({"services": PROJECT}))
    book = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {
            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
            "image": "lab/busybox",
            "scratch": str(tmp_path),
        },
        "module_defaults": {"group/bayplan.containers.all": {"settings": core.settings}},
        "tasks": yaml.safe_load(text),
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([book]))
    argv = [BIN / "ansible-playbook", "-i", "localhost,", "-v", tmp_path / "play.yml"]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed=0" in done.stdout
