"""What README.md and docs/ claim of all there is, held against all there is."""

import argparse
import re
from pathlib import Path

from bayplan.cli.parser import build_parser
from bayplan.models import Settings

TOP = Path(__file__).parents[2]


def _shown(default):
    return "unset" if default is None else "`[]`" if default == () else f"`{default}`"


def test_the_table_of_settings_has_each_with_its_default_and_meaning():
    table = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", (TOP / "docs/host.md").read_text(), re.MULTILINE)
    assert [(name, default, text) for name, default, text in table if name in Settings.model_fields] == [
        (name, _shown(info.default), info.description) for name, info in Settings.model_fields.items()
    ]


def test_every_verb_answers_in_json():
    assert "`--json` everywhere" in (TOP / "README.md").read_text()

    def without(parser, name):
        inner = [item for item in parser._actions if isinstance(item, argparse._SubParsersAction)]
        for each in inner:
            for verb, made in each.choices.items():
                yield from without(made, f"{name} {verb}")
        if not inner and "--json" not in parser._option_string_actions:
            yield name.strip()

    assert list(without(build_parser(), "")) == ["bridge"]  # which speaks nothing else
