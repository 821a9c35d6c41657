"""The module registry on Docker and on Podman: it runs there as on the core."""

import os
import secrets
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

import engines
from bayplan.bridge.registry_files import image_of
from plays import BIN, play

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not shutil.which("docker-registry"), reason="needs the package docker-registry"),
]
PORT = 5002


@pytest.fixture(params=["docker", "podman"])
def there(request, environment, tmp_path):
    """Plays that reach an engine of its own."""
    name = request.param
    if reason := engines.why_not(name):
        pytest.skip(f"{name}: {reason}")
    root = Path("/var/lib/bayplan-tests") / secrets.token_hex(4)
    root.mkdir(parents=True)
    try:
        with engines.serve(name, root) as engine:
            settings = {"state_root": str(root / "state"), "run_root": str(engine.run_root / "own")}
            settings["secrets_root"] = str(root / "kept")
            place = {"engine": name, "engine_address": engine.socket}

            def run(*tasks, **options):
                there = [(module, {**place, **given}, *more) for module, given, *more in tasks]
                return play(environment, tmp_path, there, settings, **options)

            yield SimpleNamespace(run=run, engine=engine, place=place, settings=settings, directory=tmp_path, root=root)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def status(engine, *options, scheme="http"):
    """What it answers to who is in the engine's network; it is given time to listen."""
    argv = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--retry-connrefused", "--retry", "20"]
    return engine.inside(*argv, "--retry-delay", "1", *options, f"{scheme}://127.0.0.1:{PORT}/v2/")


def test_it_runs_as_on_the_core(there):
    options = {"name": "reg", "port": PORT, "users": {"user": "planted-password"}}
    (checked, made, again), output = there.run(
        ("registry", options, {"check_mode": True}), ("registry", options), ("registry", options)
    )
    assert not made.get("failed"), made
    assert (checked["changed"], made["changed"], again["changed"]) == (True, True, False)
    assert (checked["diff"], made["container"]["State"]["Running"]) == (made["diff"], True)
    assert "planted" not in output + there.engine.call("inspect", "reg-registry-1")
    assert status(there.engine) == "401"
    assert status(there.engine, "-u", "user:planted-password") == "200"

    other = {**options, "users": {"user": "another-planted"}, "read_only": True}
    (changed, drift), output = there.run(("registry", other), ("drift_info", {"project_name": "reg"}))
    assert (changed["changed"], drift["drifted"]) == (True, False)
    assert "planted" not in output
    assert status(there.engine, "-u", "user:planted-password") == "401"
    assert status(there.engine, "-u", "user:another-planted") == "200"

    absent = {"name": "reg", "state": "absent", "remove_storage": True}
    (gone, info), _ = there.run(("registry", absent), ("stack_info", {"project_name": "reg"}))
    assert {step["resource"]["kind"] for step in gone["plan"]["steps"]} == {"container", "network", "volume", "image"}
    assert info["containers"] == []
    assert list((there.root / "kept").iterdir()) == []


def test_the_playbook_runs_one_from_an_image_with_tls(there, environment):
    rows, contents = image_of(Path("/usr/bin/docker-registry"))
    context, data = there.root / "image", there.root / "data"
    for row in rows:
        (context / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        (context / row["path"]).write_bytes(contents[row["sha256"]])
        (context / row["path"]).chmod(row["mode"])
    text = "FROM scratch\nCOPY root/ /\nCOPY root/usr/bin/docker-registry /bin/registry\nENV PATH=/bin\n"
    (context / "Dockerfile").write_text(text)
    data.mkdir()
    ((built,), _) = there.run(("image", {"name": "lab/registry:2", "build": {"context": str(context)}}))
    assert built["changed"], built
    names = ["-subj", "/CN=tests", "-addext", "subjectAltName=IP:127.0.0.1"]
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    files = {"tls_key": str(there.root / "tls.key"), "tls_certificate": str(there.root / "tls.crt")}
    made = ["-keyout", files["tls_key"], "-out", files["tls_certificate"]]
    subprocess.run([*argv, *names, *made], check=True, capture_output=True)
    asked = {"name": "reg", "port": PORT, "image": "lab/registry:2", "storage": str(data), **files, **there.place}
    said = {"bayplan_become": False, "bayplan_settings": there.settings, "registry": asked}
    said |= {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    (there.directory / "registry.yml").write_text(yaml.safe_dump(said))
    book = [BIN / "ansible-playbook", "-i", "localhost,", "bayplan.containers.registry"]
    for arguments, changed in ((["--check"], 1), ([], 1), ([], 0)):
        command = [*book, "-e", f"@{there.directory}/registry.yml", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"changed={changed} " in done.stdout
    assert status(there.engine, "--cacert", files["tls_certificate"], scheme="https") == "200"
    there.run(("registry", {"name": "reg", "state": "absent", "remove_storage": True}))
    assert data.is_dir()
