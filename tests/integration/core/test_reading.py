"""What only looks leaves no trace: on a host that Bayplan has never changed, nothing of it comes to be."""

import json
import os
import subprocess

import pytest

from bayplan.system.files import locked

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
STACK = """
name: untouched
services:
  web: {image: "127.0.0.1:9/none", pull_policy: never, networks: [net], volumes: ["data:/data"]}
networks: {net: {}}
volumes: {data: {}}
"""
READING = (
    ["history"],
    ["drift"],
    ["diff", "1", "2"],
    ["rollback", "--dry-run"],
    ["status"],
    ["ps"],
    ["plan"],
    ["check"],
    ["logs"],
    ["events", "--until", "0s"],
    ["volume", "ls"],
    ["network", "ls"],
    ["image", "ls"],
    ["secret", "ls"],
    *(["image", "prune", "--dry-run", *more] for more in ([], ["--all"])),
    *(["builder", "prune", "--dry-run", *more] for more in ([], ["--all"])),
    ["network", "prune", "--dry-run"],
    ["volume", "prune", "--dry-run"],
    ["prune", "--dry-run", "--volumes"],
)


@pytest.fixture
def bare(tmp_path, run_bayplan):
    file = tmp_path / "compose.yaml"
    file.write_text(STACK)
    return lambda *argv: run_bayplan(file, tmp_path, *argv)


@pytest.mark.parametrize("argv", READING, ids=" ".join)
def test_reading_makes_nothing(bare, tmp_path, argv):
    said = bare(*argv)
    assert "Traceback" not in said
    assert list((tmp_path / "roots").rglob("*")) == []


def test_reading_changes_nothing_of_what_is_there(project):
    """Not even what a change would tidy away on its way, as a layer that was half unpacked."""
    project.file.write_text(
        STACK.replace(
            '"127.0.0.1:9/none", pull_policy: never', "lab/busybox, command: [sleep, '600'], stop_grace_period: 0s"
        )
    )
    project("apply")
    project("stop", "web")
    for place in ("layers/.part-x", "images/blobs/sha256/.part-x"):
        (project.state / place).mkdir()
    before = found(project)
    for argv in (*READING, ["drift", "--json"], ["graph", "--format", "dot", "--plan"], ["adopt"], ["parity", "-"]):
        environ = {**os.environ, **project.environment}
        command = [*project.command, "-f", str(project.file), *argv]
        subprocess.run(command, capture_output=True, env=environ, check=False, timeout=120)
        assert found(project) == before, argv


def found(project):
    """All that is below the roots, and the rules; but for the index of SQLite's log, which readers share."""
    roots = {
        path: (path.lstat().st_mode, path.lstat().st_size, path.lstat().st_mtime_ns)
        for root in (project.state, project.run)
        for path in root.rglob("*")
        if not path.name.endswith(("-shm", "-wal"))
    }
    command = ["nft", "list", "table", "inet", project.settings.nft_table]
    return roots, subprocess.run(command, capture_output=True, check=True).stdout


def test_a_look_names_the_change_that_runs_meanwhile(project):
    project.file.write_text(STACK.replace("127.0.0.1:9/none", "lab/busybox").replace("pull_policy: never, ", ""))
    purpose = "apply of untouched"
    with locked(project.state / "lock", purpose):
        who = f"process {os.getpid()}, {purpose}"
        assert (
            project("plan").partition("Note: ")[2].startswith(f"another change of it is running ({who}): what is shown")
        )
        assert json.loads(project("plan", "--json"))["meanwhile"] == who
    for other in ("apply of another", "untouched prune"):  # a project may be called as a change is
        with locked(project.state / "lock", other):
            assert json.loads(project("plan", "--json"))["meanwhile"] == ""
    project("apply")
    with locked(project.state / "lock", purpose):
        assert project("drift").splitlines()[0].startswith(f"Note: another change of it is running ({who})")
