"""The forms of lists."""

import json

import pytest

from bayplan.cli.formatted import formatted
from bayplan.errors import DeclarationError

ROWS = [{"Name": "a", "RunningFor": "2 days"}, {"Name": "longer", "RunningFor": "1 hour"}]


def test_templates_tables_and_json():
    assert formatted("{{.Name}}", ROWS, ()) == "a\nlonger"
    assert [json.loads(line) for line in formatted("json", ROWS, ()).splitlines()] == ROWS
    assert formatted("table", ROWS, ("Name", "RunningFor")).splitlines() == [
        "NAME     RUNNING FOR",
        "a        2 days",
        "longer   1 hour",
    ]
    assert (
        formatted("table {{.RunningFor}}\\t{{json .Name}}", ROWS, ()).splitlines()[0].split("   ")[0] == "RUNNING FOR"
    )
    assert formatted("table {{.Name}}", [], ()) == "NAME"


def test_an_unknown_field_is_refused():
    with pytest.raises(DeclarationError, match="there is no Nothing"):
        formatted("{{.Nothing}}", ROWS, ())
