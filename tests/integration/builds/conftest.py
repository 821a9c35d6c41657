"""A core of its own for each test, and an empty build context."""

import pytest

from builds import Core


@pytest.fixture
def core():
    made = Core()
    yield made
    made.close()


@pytest.fixture
def context(tmp_path):
    top = tmp_path / "context"
    top.mkdir()
    return top
