import importlib
import sys
from pathlib import Path

import pytest

SDK = Path(__file__).parents[3] / "sdk/python"


@pytest.fixture(scope="session")
def sdk():
    """The Python SDK, which is a distribution of its own."""
    sys.path.insert(0, str(SDK))
    try:
        yield importlib.import_module("pulumi_bayplan")
    finally:
        sys.path.remove(str(SDK))
