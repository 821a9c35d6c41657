"""HTTP to a real server on a socket: what is kept, what is asked again, what is cut."""

import pytest

from bayplan.errors import UnavailableError
from bayplan.runtime.engine_api.answers import TransportError
from bayplan.runtime.engine_api.client import _explanation, told
from unit.runtime.engine_api.served import OK, serving


def asked_whole(transport, method="GET", **options):
    answer = transport.ask(method, "/x", headers={}, timeout=10, **options)
    try:
        return answer.status, answer.read()
    finally:
        transport.give_back(answer)


def test_a_connection_is_kept_and_one_that_was_closed_is_not_used_again(tmp_path):
    with serving(tmp_path / "s", [OK, OK], [OK]) as (transport, asked, thread):
        for _ in range(3):
            assert asked_whole(transport) == (200, b"ok")
        thread.join()
        assert len(asked) == 3


def test_an_answer_that_is_cut_is_no_answer(tmp_path):
    with (
        serving(tmp_path / "s", [OK.replace(b": 2", b": 9")]) as (transport, _, _),
        pytest.raises(UnavailableError, match="did the engine stop"),
        told("docker"),
    ):
        asked_whole(transport)


def test_nothing_that_changes_something_is_asked_twice(tmp_path):
    with serving(tmp_path / "s", [OK, b""], [OK]) as (transport, asked, _):
        assert asked_whole(transport) == (200, b"ok")
        with pytest.raises(TransportError):
            asked_whole(transport, "POST", body=b"{}")
        assert len(asked) == 2
        assert asked_whole(transport) == (200, b"ok")


def test_a_stream_is_sent_and_read_in_pieces(tmp_path):
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
    with serving(tmp_path / "s", [chunked]) as (transport, asked, _):
        answer = transport.ask("POST", "/x", body=iter([b"a"]), headers={}, timeout=None)
        assert b"".join(answer.pieces()) == b"onetwo"
        assert b"Transfer-Encoding: chunked" in asked[0]


def test_what_an_engine_says_of_an_error():
    assert _explanation(b'{"message": "no such thing"}') == "no such thing"
    assert _explanation(b"plain text\n") == "plain text"
    assert _explanation(b"") == ""
