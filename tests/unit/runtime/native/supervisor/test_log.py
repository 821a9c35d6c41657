"""The log has a cap, and the process that writes it keeps its descriptors."""

import subprocess
import sys

SCRIPT = """
import sys
from pathlib import Path
from bayplan.runtime.native.supervisor.daemon import Log
log = Log(Path(sys.argv[1]))
for number in range(6000):
    log.say(f"{number} " + "x" * 100)
print("last", file=sys.stderr)
"""


def test_the_log_begins_anew_at_its_cap_and_keeps_one_older(tmp_path):
    path = tmp_path / "log"
    with path.open("ab") as output:
        subprocess.run([sys.executable, "-c", SCRIPT, str(path)], stdout=output, stderr=output, check=True)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["log", "log.1"]
    assert path.read_text().endswith("last\n")
    assert all(item.stat().st_size <= 260 * 1024 for item in tmp_path.iterdir())


def test_the_resident_part_loads_no_models():
    code = "import sys, bayplan.runtime.native.supervisor.daemon; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"pydantic", "pyroute2", "rich", "urllib3", "yaml"}.isdisjoint(loaded)
