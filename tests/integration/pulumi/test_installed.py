"""The package as users have it: installed from wheels, and started by the real Pulumi."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pulumi_engine.cli import MISSING

TOP = Path(__file__).parents[3]
PLUGIN = "bayplan/pulumi/plugin"
PROGRAM = 'import pulumi_bayplan as bayplan\nbayplan.Network("front", subnet="10.204.9.0/24")\n'


def test_the_folder_of_the_plugin_names_the_environment_that_it_is_in():
    """Pulumi runs Python plugins in a virtual environment alone, and makes one in the folder when none is named."""
    found = yaml.safe_load((TOP / "src" / PLUGIN / "PulumiPlugin.yaml").read_text())["runtime"]
    folder = Path("/venv/lib/python3.11/site-packages") / PLUGIN
    assert Path(os.path.normpath(folder / found["options"]["virtualenv"])) == Path("/venv")
    assert (found["name"], found["options"]["toolchain"]) == ("python", "pip")


@pytest.fixture
def venv(tmp_path):
    """An environment with both wheels; what they need comes from this test's own."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    build = "import sys, hatchling.build as b; b.build_wheel(sys.argv[1])"
    for source in (TOP, TOP / "sdk/python"):
        subprocess.run([sys.executable, "-c", build, wheels], cwd=source, check=True, capture_output=True)
    made = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", made], check=True)
    install = [sys.executable, "-m", "pip", "--python", made / "bin/python", "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*install, *wheels.glob("*.whl")], check=True)
    own = next(Path(sys.prefix).glob("lib/python*/site-packages"))
    (next(made.glob("lib/python*/site-packages")) / "dependencies.pth").write_text(f"{own}\n")
    return made


@pytest.mark.skipif(bool(MISSING), reason=f"not in PATH: {', '.join(MISSING)}")
@pytest.mark.host
@pytest.mark.parametrize("place", ["folder", "executable"])
def test_pulumi_starts_what_is_installed(venv, tmp_path, place):
    folder = next(venv.glob("lib/python*/site-packages")) / PLUGIN
    project = {
        "name": "ship",
        "runtime": {"name": "python", "options": {"virtualenv": str(venv), "toolchain": "pip"}},
        "plugins": {"providers": [{"name": "bayplan", "path": str(folder if place == "folder" else venv / "bin")}]},
    }
    program = tmp_path / "program"
    program.mkdir()
    (program / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    (program / "__main__.py").write_text(PROGRAM)
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_BACKEND_URL": f"file://{tmp_path}",
        "PULUMI_CONFIG_PASSPHRASE": "correct horse",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }

    def pulumi(*arguments):
        argv = ["pulumi", *map(str, arguments), "--non-interactive"]
        done = subprocess.run(argv, cwd=program, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    pulumi("stack", "init", "dev")
    pulumi(
        "config",
        "set-all",
        "--plaintext",
        f"bayplan:stateRoot={tmp_path}/state",
        "--plaintext",
        "bayplan:engine=native",
    )
    shown = json.loads(pulumi("preview", "--json"))
    assert [step["op"] for step in shown["steps"]] == ["create", "create"]
    if place == "executable":
        schema = json.loads(pulumi("package", "get-schema", venv / "bin/pulumi-resource-bayplan"))
        assert len(schema["resources"]) == 8
