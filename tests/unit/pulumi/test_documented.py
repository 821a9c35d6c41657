"""docs/pulumi-testing.md: its program and its tests, run as a reader would."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parents[3]


def test_the_documented_unit_tests_pass(tmp_path):
    text = (TOP / "docs/pulumi-testing.md").read_text()
    program, tests = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "infra.py").write_text(program)
    (tmp_path / "test_infra.py").write_text(tests)
    environment = {**os.environ, "PYTHONPATH": f"{TOP / 'sdk/python'}{os.pathsep}{tmp_path}"}
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_documents_name_every_resource_and_function():
    text = (TOP / "docs/pulumi.md").read_text()
    schema = json.loads((TOP / "src/bayplan/pulumi/schema.json").read_text())
    for token in (*schema["resources"], *schema["functions"]):
        name = token.rpartition(":")[2]
        assert name in text, name
