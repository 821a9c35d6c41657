import pytest

from bayplan.system.terminal import DetachKeys, parse_keys


def test_keys_are_found_across_reads_and_only_whole():
    keys = DetachKeys(b"\x10\x11")
    assert keys.take(b"a\x10") == (b"a", False)
    assert keys.take(b"b") == (b"\x10b", False)
    assert keys.take(b"\x10\x10") == (b"\x10", False)
    assert keys.take(b"\x11rest") == (b"", True)
    assert DetachKeys(b"").take(b"x\x10\x11") == (b"x\x10\x11", False)


def test_names_of_keys():
    assert parse_keys("ctrl-p,ctrl-q") == b"\x10\x11"
    assert parse_keys("ctrl-a,d") == b"\x01d"
    with pytest.raises(ValueError, match="is no key"):
        parse_keys("ctrl-p,word")
