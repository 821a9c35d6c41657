"""Units of the role as systemd reads them, and that of a core that starts after a boot. `./run vm` has them at work."""

import shutil
import subprocess
import sys
from pathlib import Path

import jinja2
import pytest

TOP = Path(__file__).resolve().parents[2]
TEMPLATES = TOP / "roles/runtime/templates"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="package systemd is not installed")
def test_systemd_understands_each(tmp_path):
    program = tmp_path / "bin/bayplan"
    program.parent.mkdir()
    program.symlink_to(sys.executable)
    printed = [sys.executable, "-m", "bayplan", "resume", "--print-unit"]
    boot = subprocess.run(printed, capture_output=True, text=True, check=True).stdout
    units = {"bayplan.service": boot, **{f"bayplan-heal@web.{kind}": rendered(kind, tmp_path) for kind in KINDS}}
    for name, text in units.items():
        (tmp_path / name).write_text(text)
    assert complaints(tmp_path, units) == []
    (tmp_path / "bayplan-heal@web.timer").write_text(units["bayplan-heal@web.timer"].replace("15min", "15 often"))
    assert complaints(tmp_path, units), "it would tell"


KINDS = ("service", "timer")


def rendered(kind, home):
    text = (TEMPLATES / f"heal.{kind}.j2").read_text()
    values = {"bayplan_home": home, "bayplan_heal_every": "15min"}
    return jinja2.Template(text, undefined=jinja2.StrictUndefined, keep_trailing_newline=True).render(values)


def complaints(folder, units):
    """What it says of these, and not of those of the machine."""
    argv = ["systemd-analyze", "verify", "--man=no", *(folder / name for name in units)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if "bayplan" in line]
