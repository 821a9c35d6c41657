"""docs/security.md names tests: each of them is there."""

import re
from pathlib import Path

TESTS = Path(__file__).parent.parent
TABLE = (TESTS.parent / "docs/security.md").read_text()


def test_every_test_that_is_named_is_there():
    there = {
        name
        for file in TESTS.rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    named = re.findall(r"::(test_\w+)", TABLE)
    files = re.findall(r"(?<![\w/])((?:faults|integration|unit)/[\w/]+\.py)", TABLE)
    assert len(named) > 40
    assert [name for name in named if name not in there] == []
    assert [name for name in files if not (TESTS / name).is_file()] == []
