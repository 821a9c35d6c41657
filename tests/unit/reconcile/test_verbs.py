"""Verbs given by hand: their order, their journal, what they refuse."""

import pytest

from bayplan.errors import ConflictError, NotFoundError
from bayplan.models import Container, Dependency
from bayplan.reconcile.verbs import Command, carry_out, levels
from bayplan.record.journal import Journal
from bayplan.runtime.fake import FakeRuntime

CHAIN = [
    Container(name="web", service="w", image="i", depends_on=(Dependency(service="s"),)),
    Container(name="store", service="s", image="i"),
    Container(name="other", service="o", image="i"),
]


@pytest.fixture
def journal(tmp_path):
    held = Journal(tmp_path / "record.db")
    yield held
    held.close()


@pytest.fixture
def runtime():
    made = FakeRuntime()
    for item in CHAIN:
        made.create(item, project="p")
    made.calls.clear()
    return made


def test_dependencies_come_first_and_end_last():
    assert list(levels(CHAIN)) == [("other", "store"), ("web",)]
    assert list(levels(CHAIN, reverse=True)) == [("web",), ("other", "store")]


def test_a_running_one_is_not_removed_unless_forced(runtime, journal):
    runtime.start("web")
    with pytest.raises(ConflictError, match="web is running"):
        carry_out(Command("remove"), ["web", "store"], runtime, journal)
    assert runtime.calls == ["start web"]
    assert carry_out(Command("remove", force=True), ["web", "store"], runtime, journal).names == ("store", "web")
    assert runtime.calls == ["start web", "delete web", "delete store"]


def test_one_failure_is_told_and_the_others_go_on(runtime, journal):
    runtime.fail["start store"] = "no luck"
    done = carry_out(Command("start"), ["web", "store"], runtime, journal)
    assert (done.names, list(done.failed)) == (("web",), ["store"])
    assert journal.interrupted() == []


def test_an_unknown_name_changes_nothing(runtime, journal):
    with pytest.raises(NotFoundError, match="absent"):
        carry_out(Command("stop"), ["web", "absent"], runtime, journal)
    assert runtime.calls == []
