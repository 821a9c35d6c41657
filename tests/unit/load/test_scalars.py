"""Plain scalars: numbers in their older spellings too, and words that only look like one."""

import pytest

from bayplan.load.compose.yaml_text import resolve


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("012", 10), ("0o12", 10), ("0x1_f", 31), ("-0b1_0", -2), ("1_000", 1000), ("0_1", 1), ("0x_f", 15)),
        *(("0x_", "0x_"), ("0o_", "0o_"), ("0b_", "0b_"), ("-0x__", "-0x__"), ("0x", "0x")),
    ],
)
def test_a_number_has_a_digit(text, value):
    assert resolve(text) == value
