"""The SDK is typed: the examples pass a strict type checker, and what is wrong is told before anything runs."""

import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parents[3]
WRONG = """\
import pulumi_bayplan as bayplan
bayplan.Container("a", image="x", prots=[])
bayplan.Container("a", image="x", ports=[{"target": "80"}])
bayplan.Container("a", image="x", ports=[bayplan.PortArgs(targt=80)])
bayplan.Container("a", image="x", ports=[{"target": 80, "host_ip": "::1"}], pull="always")
"""


def test_examples_are_well_typed_and_mistakes_are_found(tmp_path):
    for example in (TOP / "examples/pulumi").glob("*/__main__.py"):
        (tmp_path / f"{example.parent.name.replace('-', '_')}.py").write_text(example.read_text())
    (tmp_path / "wrong.py").write_text(WRONG)
    argv = [sys.executable, "-m", "mypy", "--cache-dir", TOP / ".mypy_cache", *sorted(tmp_path.glob("*.py"))]
    done = subprocess.run(argv, cwd=TOP, capture_output=True, text=True, check=False)
    told = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert {line.partition(": error")[0].rpartition("/")[2] for line in told} == {f"wrong.py:{n}" for n in (2, 3, 4)}
    assert 'did you mean "ports"?' in told[0]
