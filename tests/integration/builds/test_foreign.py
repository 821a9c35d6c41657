"""Programs of another processor, under Debian's emulator: commands of a build, and a container."""

import json
import os
import subprocess
import sys

import pytest

import emulator
from bayplan.runtime.native.images.build import platforms
from builds import add_base, write

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not emulator.usable(), reason="needs qemu-user-static and a kernel with binfmt_misc"),
    pytest.mark.skipif(platforms.host() != "linux/amd64", reason="the foreign platform is arm64"),
]

HAS_ONE = platforms.runs_here("linux/arm64")  # then nothing is refused for want of it


@pytest.fixture(scope="module")
def busybox():
    return emulator.busybox() or pytest.skip("no package source answers: the lab has no busybox for arm64")


@pytest.fixture
def bayplan(core, busybox):
    """Runs the command line where interpreters are seen; gives what it said."""
    add_base(core.runtime.images.store, "lab/arm", "arm64", busybox)

    def call(place, *arguments, code=0):
        argv = place.command(sys.executable, "-m", "bayplan", *arguments)
        done = subprocess.run(argv, env=core.environment(), capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout) if "--json" in arguments else done.stdout + done.stderr

    return call


def test_a_command_for_another_processor_runs_under_its_emulator(core, context, bayplan):
    text = "FROM lab/arm\nRUN busybox uname -m > /machine && id -u >> /machine\nUSER app\nRUN id -u\n"
    write(context, Dockerfile=text)
    asked = ("build", "-t", "lab/app", "--platform", "linux/arm64", context)
    with emulator.place("OPF") as place:
        bayplan(place, *asked)
        (found,) = bayplan(place, "image", "inspect", "--json", "lab/app")
        assert (found["Architecture"], len(found["RootFS"]["Layers"])) == ("arm64", 3)
        layer = core.runtime.images.rootfs("lab/app", "")[1][1]
        assert (layer / "machine").read_text() == "aarch64\n0\n"
    if HAS_ONE:
        return
    with emulator.place() as place:
        refused = bayplan(place, *asked, code=2)
    assert "RUN: a stage for linux/arm64 cannot run programs on this host" in refused
    assert "binfmt_misc has no interpreter for it" in refused
    assert "qemu-user-static" in refused


@pytest.mark.skipif(HAS_ONE, reason="this host runs them anyway")
def test_an_interpreter_that_containers_have_not_is_refused_in_the_plan(context, bayplan):
    write(context, Dockerfile="FROM lab/arm\nRUN true\n")
    with emulator.place("OP") as place:
        refused = bayplan(place, "build", "-t", "lab/app", "--platform", "linux/arm64", context, code=2)
    assert "without flag F" in refused


def test_a_service_for_another_processor_runs_or_is_refused_in_the_plan(context, bayplan):
    file = context / "compose.yaml"
    service = {"image": "lab/arm", "platform": "linux/arm64", "network_mode": "none"}
    service |= {"command": ["busybox", "uname", "-m"]}
    file.write_text(json.dumps({"name": "foreign", "services": {"one": service}}))
    if not HAS_ONE:
        with emulator.place() as place:
            refused = bayplan(place, "-f", file, "plan", code=2)
        assert "container foreign-one-1: image lab/arm is for linux/arm64" in refused
        assert "binfmt_misc has no interpreter for it" in refused
    with emulator.place("OPF") as place:
        bayplan(place, "-f", file, "apply")
        bayplan(place, "-f", file, "wait", "one")
        assert "aarch64" in bayplan(place, "-f", file, "logs", "one")
        bayplan(place, "-f", file, "destroy")
