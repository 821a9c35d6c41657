from argparse import Namespace

import pytest

from bayplan.cli.common import show_list
from bayplan.cli.main import _explain, _interrupted
from bayplan.cli.progress import Ticker
from bayplan.errors import RuntimeFailureError
from bayplan.runtime.protocol import Progress

STEERING = "\x1b]0;title\x07done"


def test_what_a_build_or_a_container_prints_does_not_steer_the_terminal(capsys):
    Ticker(quiet=False).report(Progress("build app", message=STEERING))
    _explain(RuntimeFailureError("RUN failed", output=STEERING), as_json=False)
    # What was not found may be a name that an image has chosen.
    _explain(RuntimeFailureError(f"executable file {STEERING} not found\nsecond line"), as_json=False)
    shown = capsys.readouterr().err
    assert shown.count("title") == 3
    assert "\nsecond line\n" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_a_list_of_names_keeps_its_lines(capsys):
    show_list(Namespace(json=False), [], ("NAME",), [("one",), (STEERING,)])
    assert capsys.readouterr().out.split("\n") == ["NAME", "one", "\ufffd]0;title\ufffddone", ""]


@pytest.mark.parametrize(("verb", "said"), [("logs", ""), ("apply", "Interrupted.")])
def test_ctrl_c_says_of_a_change_what_became_of_it(capsys, verb, said):
    assert _interrupted(verb) == 130
    assert capsys.readouterr().err.partition(" ")[0] == said
