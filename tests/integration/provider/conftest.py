"""A plugin for each test, on a native core of its own."""

import os

import pytest

from plugin import Core, plugin


@pytest.fixture
def core():
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = Core()
    yield made
    made.clean()


@pytest.fixture
def pulumi(core):
    with plugin(core.configuration) as started:
        yield started
