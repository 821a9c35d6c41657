"""A core of its own for each test, with the small stack of the sweep."""

import pytest

from faults.core import COMPOSE, Core, add_image, free_port


@pytest.fixture
def core(tmp_path):
    """Driven by the command; everything is destroyed at the end, and nothing may stay."""
    file = tmp_path / "compose.yaml"
    file.write_text(COMPOSE)
    made = Core(file, {"PORT": str(free_port())})
    add_image(made.settings.state_root / "images")
    try:
        yield made
        made.call("destroy", "--volumes")
        assert made.left() == []
    finally:
        made.remove()


@pytest.fixture
def up(core):
    """The core with the stack applied."""
    core.call("apply")
    return core
