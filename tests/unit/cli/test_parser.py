"""The parser of one verb alone is that verb's part of the whole parser."""

import argparse
import re

import pytest

from bayplan.cli import elsewhere, parser


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


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        ("up", "Error: there is no verb 'up' (`bayplan plan` shows, `bayplan apply` makes the host match"),
        ("down", "`bayplan destroy`"),
        ("aply", "did you mean 'apply'?"),
        ("xyzzy", "(there are: plan, apply, status, destroy, "),
    ],
)
def test_an_unknown_verb_is_answered_with_what_does_it(
    capsys: pytest.CaptureFixture[str], verb: str, said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        parser.parse(["-f", "plan", verb, "-d"])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_what_other_tools_call_it_is_no_verb_and_what_is_named_instead_is_one() -> None:
    for verb, text in elsewhere._HERE.items():
        assert verb not in _WHOLE
        assert all(name in _WHOLE for name in re.findall(r"`bayplan ([a-z]+)", text)), text


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
