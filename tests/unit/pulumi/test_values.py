"""Values of Pulumi on the wire and in Python."""

import pytest
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from bayplan.pulumi.values import UNKNOWN, Opaque, Reference, Secret, decode, encode, is_known, plain

SIGNATURE = "4dabf18193072939515e22adb298388d"
SENTINELS = (
    "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
    "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
    "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
    "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
    "030794c1-ac77-496b-92df-f27374a8bd58",
    "e48ece36-62e2-4504-bad9-02848725956a",
    "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
)
KEYS = st.text(max_size=8).filter(lambda key: key != SIGNATURE)
LEAVES = st.one_of(
    st.booleans(),
    st.integers(min_value=-(2**53), max_value=2**53),
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not number.is_integer()),
    st.text(max_size=12),
    st.just(UNKNOWN),
    st.builds(Reference, st.text(min_size=1, max_size=8), st.just(UNKNOWN) | st.text(min_size=1, max_size=8)),
    st.builds(Opaque, st.just("c44067f5952c0a294b673a41bacd8c17"), st.fixed_dictionaries({"text": st.text()})),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3), st.builds(Secret, inner)
    ),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_everything_comes_back_as_it_went(values):
    wire = encode(values)
    assert decode(Struct.FromString(wire.SerializeToString())) == values


def test_every_unknown_is_read_and_one_is_sent():
    given_ = Struct()
    given_.update({f"n{number}": text for number, text in enumerate(SENTINELS)})
    assert set(map(id, decode(given_).values())) == {id(UNKNOWN)}
    assert encode({"a": UNKNOWN}).fields["a"].string_value == SENTINELS[0]


def test_outputs_are_what_they_hold():
    output = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
    given_ = Struct()
    given_.update(
        {
            "later": {SIGNATURE: output, "dependencies": ["urn:a"]},
            "hidden": {SIGNATURE: output, "value": "v", "secret": True},
            "open": {SIGNATURE: output, "value": [1]},
            "null": None,
        }
    )
    assert decode(given_) == {"later": UNKNOWN, "hidden": Secret("v"), "open": [1]}


def test_what_is_secret_is_in_no_text():
    assert "hush" not in repr(Secret({"a": "hush"})) + repr(Opaque("s", {"text": "hush"}))


def test_plain_values_and_what_is_not_known():
    value = {"a": Secret([1, Secret("x")]), "b": Reference("urn", "id-1"), "c": [UNKNOWN, 2], "d": {"e": UNKNOWN}}
    assert plain(value) == {"a": [1, "x"], "b": "id-1", "c": [UNKNOWN, 2], "d": {"e": UNKNOWN}}
    assert not is_known(Secret({"a": [UNKNOWN]}))
    assert is_known(Secret({"a": [1]}))
    with pytest.raises(TypeError, match="no value of Pulumi"):
        encode({"a": object()})
