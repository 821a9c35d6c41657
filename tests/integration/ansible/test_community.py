"""Tasks for community.docker, run after a change of the module names alone."""

import os
import re
import subprocess
from contextlib import contextmanager

import pytest
import yaml

from integration.images.conftest import serve
from plays import BIN, TOP

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
NAMES = {
    "docker_compose_v2": "stack",
    "docker_container_copy_into": "container_copy",
    "docker_image_pull": "image",
    "docker_image_tag": "image",
    "docker_login": "registry_login",
    **{f"docker_{name}": name for name in ("container", "container_exec", "container_info", "host_info", "image")},
    **{f"docker_{name}": name for name in ("image_info", "network", "network_info", "volume", "volume_info", "prune")},
}
WEB = {"command": ["sleep", "600"], "stop_grace_period": "1s", "labels": {"word": "${WORD:-}"}}
WEB["image"] = "${IMAGE:-lab/busybox}"
LOCK = "auth: {{htpasswd: {{realm: tests, path: {}}}}}\n"
HTPASSWD = "user:$2b$04$OhagQDV4Mse73AwwQRTGcexDgt7BqnQHVvZmg.9OWaIrSLGMAapuO\n"


@pytest.fixture
def renamed(core, environment, tmp_path):
    """Plays a file of tasks with the names of this collection's modules; gives what was said."""
    (tmp_path / "build").mkdir()
    (tmp_path / "build/Dockerfile").write_text("FROM lab/busybox\nARG GREETING\nLABEL greeting=$GREETING\n")
    (tmp_path / "app.env").write_text("FOO=bar\n")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/compose.yaml").write_text(yaml.safe_dump({"services": {"web": WEB}}))

    def play(name, settings=None, **variables):
        text = (TOP / f"tests/integration/ansible/{name}").read_text()
        text = re.sub(r"community\.docker\.(\w+):", lambda found: f"bayplan.containers.{NAMES[found[1]]}:", text)
        variables |= {"ansible_python_interpreter": "{{ ansible_playbook_python }}", "image": "lab/busybox"}
        book = {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars": {**variables, "scratch": str(tmp_path)},
            "environment": {"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")},
            "module_defaults": {"group/bayplan.containers.all": {"settings": {**core.settings, **(settings or {})}}},
            "tasks": yaml.safe_load(text),
        }
        (tmp_path / "play.yml").write_text(yaml.safe_dump([book]))
        argv = [BIN / "ansible-playbook", "-i", "localhost,", "-v", tmp_path / "play.yml"]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return play


def test_the_playbook_works_with_other_names(renamed):
    assert "failed=0" in renamed("community.yml")


@contextmanager
def registries(core, directory):
    """One registry that holds ``base:1``, and one that knows a user; their names and the settings that trust them."""
    (directory / "locked").mkdir()
    (directory / "htpasswd").write_text(HTPASSWD)
    servers = [serve(directory), serve(directory / "locked", LOCK.format(directory / "htpasswd"))]
    try:
        names = [next(server) for server in servers]
        conf = directory / "registries.conf"
        conf.write_text("".join(f'[[registry]]\nlocation = "{name}"\ninsecure = true\n' for name in names))
        settings = {"registries_conf": [str(conf)]}
        base = {"name": "lab/busybox", "repository": f"{names[0]}/base:1", "push": True, "settings": settings}
        assert core.one("image", **{**base, "settings": {**core.settings, **settings}})["changed"]
        yield dict(zip(("registry", "locked"), names, strict=True)), settings
    finally:
        for server in servers:
            server.close()


def test_options_of_others_are_taken_where_they_mean_what_happens_anyway(core, renamed, tmp_path):
    with registries(core, tmp_path) as (names, settings):
        (tmp_path / "shop/shop.env").write_text(f"WORD=variable\nIMAGE={names['registry']}/base:1\n")
        renamed("wild.yml", settings, password="not-so-secret", **names)
        again = renamed("wild.yml", settings, password="not-so-secret", **names)
        assert re.search(r"changed=0 .*failed=0", again), again
