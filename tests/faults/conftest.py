"""A core of its own for each test, with the small stack of the sweep."""

import pytest

from faults.core import small_core


@pytest.fixture
def core(tmp_path):
    """Driven by the command; everything is destroyed at the end, and nothing may stay."""
    with small_core(tmp_path) as made:
        yield made


@pytest.fixture
def up(core):
    """The core with the stack applied."""
    core.call("apply")
    return core
