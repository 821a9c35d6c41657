"""The parser of one verb alone is that verb's part of the whole parser."""

import argparse

import pytest

from bayplan.cli import parser


def _verbs(made: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    action = next(item for item in made._actions if isinstance(item, argparse._SubParsersAction))
    return dict(action.choices)


_WHOLE = _verbs(parser.build_parser())


@pytest.mark.parametrize("verb", _WHOLE)
def test_a_verb_alone_reads_as_it_does_among_all(verb: str) -> None:
    assert _verbs(parser.build_parser(verb))[verb].format_help() == _WHOLE[verb].format_help()
    assert verb in parser._ROOMS, "it is found quickly"


@pytest.mark.parametrize(
    "arguments",
    [
        ["-f", "plan", "apply"],
        ["--file=plan", "-p", "exec", "apply", "--lock-timeout", "5s"],
        ["--profile", "build", "apply", "--json"],
    ],
)
def test_values_of_options_are_no_verbs(arguments: list[str]) -> None:
    assert parser.parse(arguments).verb == "apply"


def test_an_unknown_verb_is_answered_with_all(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser.parse(["-f", "plan", "aply"])
    said = capsys.readouterr().err
    assert all(verb in said for verb in _WHOLE)
