import copy
import pickle
from dataclasses import FrozenInstanceError, field, is_dataclass
from functools import cached_property

import pytest

from bayplan.values import frozen


@frozen
class Spot:
    """A value with all that fields can have."""

    row: int
    name: str = "here"
    notes: dict[str, str] = field(default_factory=dict)

    @cached_property
    def twice(self) -> int:
        return 2 * self.row


@frozen
class Marked(Spot):
    """One more field."""

    mark: str = "x"

    def __repr__(self) -> str:
        return f"<{self.mark}>"


def test_it_takes_its_fields_by_place_and_by_name_and_fills_in_defaults():
    assert (Spot(1).row, Spot(1).name, Spot(1, name="there").name) == (1, "here", "there")
    assert Spot(1).notes == {}
    assert Spot(1).notes is not Spot(1).notes
    assert Marked(1, "a", {}, "m").mark == "m"


@pytest.mark.parametrize(
    ("given", "named", "text"),
    [((), {}, "lacks row"), ((1, "a", {}, 4), {}, "3 fields"), ((1,), {"row": 2}, "twice"), ((1,), {"z": 2}, "z")],
)
def test_what_does_not_fit_is_refused(given, named, text):
    with pytest.raises(TypeError, match=text):
        Spot(*given, **named)


def test_nothing_of_it_can_be_changed():
    spot = Spot(1)
    with pytest.raises(FrozenInstanceError):
        spot.row = 2
    with pytest.raises(FrozenInstanceError):
        del spot.row
    assert spot.row == 1


def test_equal_are_those_of_one_class_with_the_same_fields_whatever_was_asked_of_them():
    one = Spot(1, "a", ())
    assert one.twice == 2
    assert one == Spot(1, "a", ())
    assert hash(one) == hash(Spot(1, "a", ()))
    assert one != Spot(2, "a", ())
    assert one != Marked(1, "a", ())


def test_it_is_shown_copied_and_matched_as_a_dataclass_is():
    assert repr(Spot(1)) == "Spot(row=1, name='here', notes={})"
    assert repr(Marked(1)) == "<x>"
    assert is_dataclass(Spot)
    assert copy.copy(Spot(1)) == pickle.loads(pickle.dumps(Spot(1))) == Spot(1)
    match Spot(3):
        case Spot(row, name):
            assert (row, name) == (3, "here")
