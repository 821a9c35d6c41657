import pytest

from bayplan.runtime.dockerfile.ignore import Ignore


@pytest.mark.parametrize(
    ("rules", "left_out", "kept"),
    [
        ("*.log", ["a.log"], ["d/a.log", "a.logs"]),
        ("**/*.log", ["a.log", "d/e/a.log"], ["a.txt"]),
        ("d", ["d", "d/x/y"], ["de", "x/d"]),
        ("/d/", ["d/x"], ["x/d"]),
        ("# x\n\nd?\n", ["d1", "d2/x"], ["d", "d12"]),
        ("*\n!keep\n!d/*.txt\n", ["other", "d/x"], ["keep", "keep/x", "d/a.txt"]),
        ("!a\na\n", ["a"], []),
        ("[ab]x", ["ax", "bx"], ["cx"]),
        ("a/**/b", ["a/b", "a/x/y/b"], ["b"]),
        (r"\*", ["*"], ["a"]),
        ("a*b*c", ["abc", "axbxc", "abbcc"], ["ac", "ab/c", "acb"]),
        ("*a*/*b*", ["a/b", "xay/xby", "a/b/c"], ["b/a", "a"]),
        ("*[ab]?*c", ["axc", "zbyzc"], ["ac"]),
        ("**/**/x", ["x", "a/x", "a/b/x"], ["y"]),
        ("a/**/**", ["a/b", "a/b/c"], ["b"]),
        ("a**b", ["ab", "a/x/b"], ["b"]),
    ],
)
def test_the_last_rule_that_matches_decides(rules, left_out, kept):
    ignore = Ignore(rules)
    assert [path for path in left_out + kept if ignore(path)] == left_out


def test_malformed_rules_are_refused():
    for text in ("../x", "a[b"):
        with pytest.raises(ValueError, match=r"out of|missing"):
            Ignore(text)


def test_no_pattern_takes_for_ever():
    """Where every star is tried at each place, these take longer than anybody lives."""
    assert not Ignore("*a" * 30 + "b")("a" * 200)
    assert not Ignore("**/" * 30 + "b")("a/" * 100 + "a")


def test_a_lock_is_no_part_of_what_it_locks():
    assert Ignore()("bayplan.lock")
    assert Ignore("*.txt")("below/bayplan.lock")
    assert not Ignore("!**/bayplan.lock")("bayplan.lock")
    assert not Ignore()("yarn.lock")
