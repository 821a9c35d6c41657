import pytest

from bayplan.runtime.dockerfile.expand import expand, pairs, split

VARIABLES = {"A": "one", "EMPTY": "", "B": "two words"}


@pytest.mark.parametrize(
    ("word", "result"),
    [
        ("$A/${A}x", "one/onex"),
        ("$Ax$", "$"),
        (r"\$A", "$A"),
        ("'$A' \"$A\"", "$A one"),
        (r'"a \"b\" \n"', r'a "b" \n'),
        ("${NO:-d}${NO-e}", "de"),
        ("${EMPTY:-d}[${EMPTY-e}]", "d[]"),
        ("${A:+x}${NO:+y}${EMPTY:+y}${EMPTY+z}", "xz"),
        ("${NO:-${A:-y}/$B}", "one/two words"),
        ("${A:?must}", "one"),
        ("$NO", ""),
    ],
)
def test_variables_and_quotes(word, result):
    assert expand(word, VARIABLES) == result


@pytest.mark.parametrize(
    ("word", "says"),
    [("${A", "missing|not built"), ("'a", "not closed"), ("${NO:?must}", "NO: must"), ("${A#x}", "A#x")],
)
def test_malformed_words_are_refused(word, says):
    with pytest.raises(ValueError, match=says):
        expand(word, VARIABLES)


def test_words_keep_their_quotes_until_they_are_expanded():
    assert split(r"a 'b c'  d\ e ") == ["a", "'b c'", r"d\ e"]
    with pytest.raises(ValueError, match="not closed"):
        split("a 'b")


def test_pairs_have_two_forms():
    assert pairs(r'a=1 b="x $A" c=y\ z', VARIABLES) == [("a", "1"), ("b", "x one"), ("c", "y z")]
    assert pairs("a some $A  words", VARIABLES) == [("a", "some one  words")]
    assert pairs("a\tsome $A", VARIABLES) == [("a", "some one")]
    for text, says in (("a", "has no value"), ("a=1 b", "not of the form")):
        with pytest.raises(ValueError, match=says):
            pairs(text, VARIABLES)
