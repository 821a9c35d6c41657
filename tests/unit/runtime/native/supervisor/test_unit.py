"""The supervisor as a service of systemd: when, how, and that systemd understands it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bayplan.models import Settings
from bayplan.runtime.native.supervisor import unit

ROOTS = Settings(state_root=Path("/var/lib/x"), run_root=Path("/run/x"))


def test_only_where_systemd_is_the_init_and_takes_units(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(unit, "BOOTED", tmp_path / "no")
    assert not unit.is_for_systemd()
    monkeypatch.setattr(unit, "BOOTED", tmp_path)
    assert unit.is_for_systemd()
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert not unit.is_for_systemd()


def test_a_unit_for_each_core_that_outlives_nothing(monkeypatch):
    other = Settings(state_root=Path("/var/lib/x"), run_root=Path("/run/y"))
    assert unit.name(ROOTS) != unit.name(other)
    argv = unit.transient(ROOTS, {"PATH": "/bin"})
    assert argv[0] == "systemd-run"
    assert {"--collect", f"--unit={unit.name(ROOTS)}", "--property=KillMode=process", "--setenv=PATH=/bin"} <= set(argv)
    assert argv[-6:] == [
        sys.executable,
        "-P",
        "-m",
        "bayplan.runtime.native.supervisor",
        "/run/x/supervisor/settings.json",
        "-1",
    ]
    monkeypatch.setenv(unit.AS_UNIT, "1")
    assert unit.runs_as_unit()


def test_one_that_systemd_refuses_is_started_without_it(tmp_path, monkeypatch):
    (tmp_path / "systemd-run").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "systemd-run").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert not unit.start(ROOTS, {})
    monkeypatch.setenv("PATH", "/nowhere")
    assert not unit.start(ROOTS, {})


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="package systemd is not installed")
def test_systemd_understands_the_unit_file(tmp_path):
    file = tmp_path / unit.name(ROOTS)
    file.write_text(unit.text(ROOTS))
    verify = ["systemd-analyze", "verify", "--man=no", str(file)]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    mine = [line for line in (done.stdout + done.stderr).splitlines() if file.name in line]
    assert (done.returncode, mine) == (0, [])
    file.write_text(unit.text(ROOTS).replace("Type=exec", "Type=nonsense"))
    broken = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert file.name in broken.stdout + broken.stderr
