"""What a preview says of what is to be made: only what is true whatever the program does before."""

from types import SimpleNamespace

import pytest

from bayplan.bridge.answers import failure
from bayplan.errors import (
    ConflictError,
    DeclarationError,
    ManyFaultsError,
    NotBuiltYetError,
    NotFoundError,
    UnavailableError,
    UnsupportedError,
)
from bayplan.pulumi.failures import RefusedError
from bayplan.pulumi.resources.foretold import tell

WANTED = {"resources": [{"kind": "container", "name": "web", "fields": {}}]}


class Session:
    """A host that answers with one error, or raises it."""

    clears = is_away = False

    def __init__(self, answer=None, raised=None):
        self.answer, self.raised, self.asked, self.warned = answer, raised, [], []
        self.connection = SimpleNamespace(warn=self.warned.append)

    def ask(self, verb, options, *, check):
        self.asked.append((verb, options, check))
        if self.raised is not None:
            raise self.raised
        return {"error": self.answer and failure(self.answer)}


@pytest.mark.parametrize(
    "error",
    [
        UnsupportedError("no kata here"),
        DeclarationError("no kata here"),
        NotBuiltYetError("no kata here"),
        ManyFaultsError([DeclarationError("no kata here"), DeclarationError("nor elsewhere")]),
    ],
)
def test_what_can_never_be_is_refused(error):
    session = Session(error)
    with pytest.raises(RefusedError, match="no kata here"):
        tell(session, WANTED)
    assert session.asked == [("suits", WANTED, True)]


def test_what_is_in_the_way_now_is_a_warning_unless_something_goes_first():
    session = Session(ConflictError("port 80 is taken"))
    tell(session, WANTED)
    assert session.warned == ["not possible on the host as it is now: port 80 is taken"]
    session.clears = True
    tell(session, WANTED)
    assert len(session.warned) == 1


@pytest.mark.parametrize("answer", [None, NotFoundError("network later does not exist")])
def test_what_is_not_there_yet_is_nothing_to_tell(answer):
    session = Session(answer)
    tell(session, WANTED)
    assert session.warned == []


def test_a_host_that_is_away_is_asked_once():
    session = Session(raised=UnavailableError("nobody answers"))
    for _ in range(3):
        tell(session, WANTED)
    assert len(session.asked) == 1
