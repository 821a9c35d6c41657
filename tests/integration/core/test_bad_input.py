"""Bad input: exit code 2, one message that names file, line or resource, and nothing changed."""

import os
import re
import socket
import subprocess
import sys

import pytest

from faults.core import Core, add_image, free_port

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
GOOD = """\
name: bad
services:
  a:
    image: lab/busybox
    command: [sleep, "600"]
    stop_grace_period: 10ms
"""
CASES = {
    "broken YAML": (GOOD + "    environment: {A: [}\n", "{file}:7"),
    "unknown key": (GOOD + "    comand: x\n", "{file}:7"),
    "wrong type": (GOOD + "    ports: 80\n", "{file}:7"),
    "missing variable": (GOOD + "    user: ${WHO:?name the user}\n", "{file}:7: "),
    "cycle": (GOOD + "    depends_on: [b]\n  b: {image: lab/busybox, depends_on: [a]}\n", "a -> b -> a|b -> a -> b"),
    "two of one name": (GOOD + "    container_name: n\n  b: {image: lab/busybox, container_name: n}\n", "{file}:8"),
    "missing bind": (
        GOOD + "    volumes: ['./gone:/gone']\n",
        "bind source .*/gone does not exist",
    ),
    "image that is nowhere": (GOOD.replace("lab/busybox", "lab/gone") + "    pull_policy: never\n", "lab/gone"),
    "subnet in the way": (
        GOOD + "    networks: [n]\nnetworks:\n  n: {ipam: {config: [{subnet: 10.219.7.0/24}]}}\n",
        "bad_n overlaps 10.219.0.0/16 of a route of the host by {link}",
    ),
}


@pytest.fixture
def core(tmp_path):
    file = tmp_path / "compose.yaml"
    file.write_text(GOOD)
    made = Core(file, pool="10.220.128.0/24")
    add_image(made.settings.state_root / "images")
    try:
        yield made
        file.write_text(GOOD)
        made.call("destroy", "--volumes")
        assert made.left() == []
    finally:
        made.remove()


@pytest.fixture
def route(core):
    """A link of somebody else with a route over a part of the private range."""
    name = f"x{core.settings.interface_prefix}"
    subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "addr", "add", "10.219.0.1/16", "dev", name], check=True)
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
        yield name
    finally:
        subprocess.run(["ip", "link", "del", name], check=True)


def refused(core, match, *verb):
    said = core.call(*(verb or ("apply",)), code=2)
    lines = [line for line in said.splitlines() if line]
    assert len(lines) == 1, said
    assert lines[0].startswith("Error: ")
    assert re.search(match, lines[0]), said
    # What only reads makes no record; one that is there has nothing.
    assert core.query("SELECT count(*) FROM containers") in ([], [(0,)])
    assert core.query("SELECT count(*) FROM networks") in ([], [(0,)])


@pytest.mark.parametrize("name", CASES)
def test_refused_with_one_message_and_nothing_changed(core, route, name):
    text, match = CASES[name]
    core.call("status")
    core.file.write_text(text)
    refused(core, match.format(file=core.file, link=route))


def test_a_port_that_is_taken_is_refused_naming_it(core):
    """Fault row 24."""
    port = free_port()
    core.call("status")
    core.file.write_text(GOOD + f"    ports: ['127.0.0.1:{port}:80']\n")
    with socket.create_server(("127.0.0.1", port)):
        refused(core, f"container bad-a-1: port 127.0.0.1:{port}/tcp is taken by a process of the host")


def test_without_root_the_reason_is_told(core, tmp_path):
    core.call("status")
    # Nobody must be able to read the declaration, so that only the state is out of reach.
    for directory in (core.file, *core.file.parents):
        if directory.stat().st_uid == 0 and directory.name.startswith(("pytest", "compose", "test_")):
            directory.chmod(0o755)
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    if subprocess.run([*nobody, sys.executable, "-c", "import bayplan"], capture_output=True, check=False).returncode:
        pytest.skip("the checkout is in a directory that only root may enter")
    command = (*nobody, *core.command)
    process = core.start("status", command=command)
    code, said = process.wait(), process.output.read_text()
    assert "Traceback" not in said
    assert "run as root" in said
    assert code == 2


def test_an_image_that_others_run_from_is_not_removed_with_a_project(core, tmp_path):
    core.call("apply")
    other = tmp_path / "other.yaml"
    other.write_text(GOOD.replace("name: bad", "name: other") + "    network_mode: none\n")
    mine, core.file = core.file, other
    try:
        core.call("apply")
        said = core.call("destroy", "--images", code=2)
        assert "image lab/busybox is used by containers bad-a-1" in said
        assert core.status()["other-a-1"]["state"] == "running"
    finally:
        core.call("destroy")
        core.file = mine


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        (("pull", "http://x/y"), "'http:' is not a registry host"),
        (("pull", "127.0.0.1:1/x@sha256:zz"), "a digest is sha256"),
        (("--project-directory", "/nonexistent", "plan"), "--project-directory /nonexistent: is no directory"),
        (("apply", "--lock-timeout", "soon"), "--lock-timeout: not a duration"),
        (("apply", "--lock-timeout", "9" * 30 + "h"), "--lock-timeout: .* is too long"),
        (("kill", "-s", "\u00b2", "a"), "no container of a|unknown signal"),
    ],
)
def test_options_are_refused_with_one_message(core, verb, said):
    text = core.call(*verb, code=2)
    assert re.search(said, text), text
    assert "Traceback" not in text


def test_warnings_on_a_file_are_for_who_applies_it(core):
    core.file.write_text('version: "3"\nname: bad\nservices: {a: {image: lab/busybox}}\n')
    assert "obsolete" in core.call("plan")
    for verb in (["status"], ["ps"], ["events", "--until", "0s"], ["destroy"]):
        assert "obsolete" not in core.call(*verb), verb


def test_more_lines_than_a_number_holds(core):
    core.call("apply")
    assert core.call("logs", "--tail", "9" * 30, "a") == ""
