"""Models that hold resources."""

import subprocess
import sys

PROGRAM = """
from bayplan.models import Container, Stack
assert not Container.__pydantic_complete__, "it costs every command, whether it needs it or not"
Stack(name="shop")
assert Container.__pydantic_complete__
"""


def test_what_a_resource_is_checked_with_is_made_once_and_kept():
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)
