"""The example of docs/parity.md, run as it stands there."""

import os
import re
import shlex
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).resolve().parents[3] / "docs/parity.md"
pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def block(kind):
    return re.search(rf"```{kind}\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)[1]


def commands():
    """Each command with the variables before it, its exit code, and the lines that it must say."""
    found = []
    for line in block("console").splitlines():
        if not line.startswith("$ "):
            found[-1][3].append(line)
            continue
        text, _, note = line[2:].partition("#")
        words = shlex.split(text)
        variables = dict(words.pop(0).split("=", 1) for _ in list(words) if "=" in words[0])
        assert words[0] == "bayplan"
        found.append((words[1:], variables, int(note.split()[-1]) if note else 0, []))
    return found


def test_the_example_does_what_the_page_says(shop):
    (shop.core.root / "registries.conf").write_text(
        f'[[registry]]\nprefix = "registry.example"\nlocation = "{shop.registry}"\ninsecure = true\n'
        f'[[registry]]\nlocation = "{shop.registry}"\ninsecure = true\n'
    )
    shop.push("shop/web", 1)
    shop.file.write_text(block("yaml"))
    for words, variables, code, lines in commands():
        words = [str(shop.directory / word) if "." in word and "=" not in word else word for word in words]  # noqa: PLW2901
        said = shop(*words, code=code, DB_PASSWORD="planted", **variables)
        for line in lines:
            assert line in said, (words, said)
        assert "planted" not in said
    assert (shop.directory / "parity.html").read_text().startswith("<!doctype html>")
