"""A stack written as a Compose file and read again is the same stack, for every file that tests declare."""

from pathlib import Path

import pytest

from bayplan.load.compose import load_stack, load_text
from bayplan.load.compose.writing import write

CASES = Path(__file__).parent / "cases"
FILES = sorted(path for path in CASES.glob("*.yaml") if ".2." not in path.name)
ENVIRONMENT = {"HOME": "/home/u", "TAG": "1.2", "REGISTRY": "registry.example"}


def load(file):
    both = [file, *([file.with_name(file.name.replace(".1.", ".2."))] if ".1." in file.name else [])]
    return load_stack(both, environment=ENVIRONMENT, profiles=["*"])


def again(stack, written, directory):
    environment = {**ENVIRONMENT, **written.variables}
    return load_text(written.text, label="again.yaml", project_directory=directory, environment=environment)


def parts(stack):
    """What is compared: builds are no part of what runs, nor is where it was read."""
    return {
        "containers": {item.name: item.model_dump(mode="json") for item in stack.containers},
        "networks": {item.name: item.model_dump(mode="json") for item in stack.networks},
        "volumes": {item.name: item.model_dump(mode="json") for item in stack.volumes},
    }


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_written_and_read_again_it_is_the_same(file):
    stack = load(file)
    written = write(stack)
    assert written.left_out == ()
    assert parts(again(stack, written, file.parent)) == parts(stack)
