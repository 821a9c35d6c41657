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


@pytest.mark.parametrize(
    "arguments", [["destroy", "--vol"], ["--engin", "docker", "plan"], ["volume", "prune", "--forc"]]
)
def test_an_option_is_taken_by_its_whole_name_alone(arguments: list[str]) -> None:
    """What a prefix stands for changes with every option that is added, and may be what removes data."""
    with pytest.raises(SystemExit):
        parser.parse(arguments)


def test_a_number_of_lines_that_is_none_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser.parse(["logs", "-n", "x"])
    assert "'x' is no number of lines, nor all" in capsys.readouterr().err
