"""The module registry on the real core: what it runs, and what of it is on the host."""

import json
import os
import shutil
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from bayplan.bridge.registry_files import image_of
from integration.ansible.test_targets import targets
from plays import BIN

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not shutil.which("docker-registry"), reason="needs the package docker-registry"),
]


@pytest.fixture
def run(core, environment, tmp_path):
    yield from targets(core, environment, tmp_path)


@pytest.fixture
def port():
    """The first of two free ones."""
    while True:
        with ExitStack() as held:
            first = held.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            found = first.getsockname()[1]
            try:
                held.enter_context(socket.socket()).bind(("127.0.0.1", found + 1))
            except (OSError, OverflowError):
                continue
            return found


@pytest.fixture
def tls(tmp_path):
    """A directory with a certificate for 127.0.0.1, signed by itself, and its key."""
    made = tmp_path / "tls"
    made.mkdir()
    names = ["-subj", "/CN=tests", "-addext", "subjectAltName=IP:127.0.0.1"]
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    files = ["-keyout", made / "tls.key", "-out", made / "tls.crt"]
    subprocess.run([*argv, *names, *files], check=True, capture_output=True)
    return made


def test_the_target(run, core, tmp_path, port, tls):
    core.play(("image", {"name": "lab/busybox", "archive_path": str(tmp_path / "box.tar")}))
    rows = "".join(f'[[registry]]\nlocation = "127.0.0.1:{one}"\ninsecure = true\n' for one in (port, port + 1))
    (tmp_path / "registries.conf").write_text(rows)
    settings = {"registries_conf": [str(tmp_path / "registries.conf")]}
    run("registry", settings=settings, registry_port=port, tls=str(tls), archive=str(tmp_path / "box.tar"))


def test_what_the_host_has(core, host, port, tls):
    secrets = core.state / "kept"
    core.settings["secrets_root"] = str(secrets)
    options = {"name": "reg", "port": port, "users": {"user": "planted-password"}, "read_only": True}
    options |= {"tls_certificate": str(tls / "tls.crt"), "tls_key": str(tls / "tls.key")}
    made = core.both("registry", **options)
    assert "planted" not in core.output
    (process,) = host.process.filter(args="/usr/bin/docker-registry serve /etc/distribution/config.yml")
    assert process.pid == made["container"]["State"]["Pid"]
    assert _status(made["url"], tls) == 401
    status = host.file(f"/proc/{process.pid}/status").content_string
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    mounts = host.file(f"/proc/{process.pid}/mounts").content_string.splitlines()
    root = next(line.split() for line in mounts if line.split()[1] == "/")
    assert "ro" in root[3].split(",")
    within = f"/proc/{process.pid}/root/etc/distribution"
    for name in ("config.yml", "htpasswd", "tls.key"):
        assert (host.file(f"{within}/{name}").mode, host.file(f"{within}/{name}").uid) == (0o400, 0)
    assert host.file(f"{within}/htpasswd").content_string.startswith("user:$2b$10$")
    assert {file.name: host.file(str(file)).mode for file in secrets.iterdir()} == {
        "reg-config": 0o600,
        "reg-htpasswd": 0o600,
    }
    assert _status(made["url"], tls, "user", "planted-password") == 200
    assert _status(made["url"], tls, "user", "another") == 401

    # It is a project as any other, and its image has no program but the one.
    (refused,) = core.play(("container_exec", {"container": "reg-registry-1", "argv": ["/nothing"]}))
    assert refused["failed"]
    assert core.one("drift_info", project_name="reg")["drifted"] is False
    gone = core.one("registry", name="reg", state="absent", remove_storage=True)
    assert {step["resource"]["kind"] for step in gone["plan"]["steps"]} == {"container", "network", "volume", "image"}
    assert list(secrets.iterdir()) == []
    assert not host.process.filter(args="/usr/bin/docker-registry serve /etc/distribution/config.yml")
    assert not [path for path in (core.state / "sent").iterdir() if "registry-reg" in path.name]


def test_it_comes_from_an_image_too_and_keeps_what_it_holds_in_a_directory(core, host, tmp_path, port):
    rows, contents = image_of(Path("/usr/bin/docker-registry"))
    context, data = tmp_path / "image", tmp_path / "data"
    for row in rows:
        (context / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        (context / row["path"]).write_bytes(contents[row["sha256"]])
        (context / row["path"]).chmod(row["mode"])
    text = "FROM scratch\nCOPY root/ /\nCOPY --chmod=755 root/usr/bin/docker-registry /bin/registry\nENV PATH=/bin\n"
    build = {"context": str(context), "dockerfile_inline": text}
    (built,) = core.play(("image", {"name": "lab/registry:2", "build": build}))
    assert built["changed"], built
    data.mkdir()
    made = core.both("registry", name="reg", port=port, image="lab/registry:2", storage=str(data))
    (process,) = host.process.filter(args="registry serve /etc/distribution/config.yml")
    assert " /var/lib/registry " in host.file(f"/proc/{process.pid}/mounts").content_string
    assert _status(made["url"]) == 200
    core.one("registry", name="reg", state="absent", remove_storage=True)
    assert data.is_dir()


def test_another_project_is_not_taken_for_a_registry(core):
    one = {"image": "lab/busybox", "command": ["sleep", "600"], "network_mode": "none", "stop_grace_period": "1s"}
    core.one("stack", project_name="shop", definition={"services": {"web": one}})
    for state in ("present", "absent"):
        refused = core.one("registry", name="shop", state=state)
        assert refused["failed"]
        assert not refused["changed"]
        assert "it has web" in refused["msg"]
    assert core.one("stack_info", project_name="shop")["running"] == 1


def test_the_playbook(core, environment, tmp_path, port):
    """Where the program is there already."""
    book = [BIN / "ansible-playbook", "-i", "localhost,", "bayplan.containers.registry", "-e"]
    said = {"bayplan_become": False, "bayplan_settings": core.settings, "registry": {"name": "reg", "port": port}}
    said |= {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    (tmp_path / "registry.yml").write_text(yaml.safe_dump(said))
    for arguments, changed in ((["--check"], 1), ([], 1), ([], 0)):
        argv = [*book, f"@{tmp_path}/registry.yml", *arguments]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"changed={changed} " in done.stdout
    assert _status(f"http://127.0.0.1:{port}") == 200
    (tmp_path / "absent.json").write_text(json.dumps({**said, "registry": {"name": "reg", "state": "absent"}}))
    subprocess.run([*book, f"@{tmp_path}/absent.json"], env=environment, capture_output=True, check=True)
    assert core.one("stack_info", project_name="reg")["containers"] == []


def _status(url, tls=None, user="", password=""):
    """What ``/v2/`` answers; the certificate must be the one that was given."""
    handlers = (
        [urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(tls / "tls.crt")))] if tls else []
    )
    if user:
        passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
        passwords.add_password(None, url, user, password, is_authenticated=True)
        handlers.append(urllib.request.HTTPBasicAuthHandler(passwords))
    try:
        with urllib.request.build_opener(*handlers).open(f"{url}/v2/") as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
