"""The JSON lines of engines: however they are cut, and whatever they tell."""

import pytest

from bayplan.errors import AccessDeniedError, NotFoundError, RuntimeFailureError, UnavailableError
from bayplan.runtime.engine_api.images import transfer


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_lines_are_found_wherever_they_were_cut(size):
    text = b'{"a": 1}\r\n\n{"b": "\xc3\xa9"}\n{"c": 3}'
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert list(transfer.lines(pieces)) == [{"a": 1}, {"b": "é"}, {"c": 3}]


def test_what_is_no_json_is_said():
    with pytest.raises(RuntimeFailureError, match="not understood"):
        list(transfer.lines([b"<html>\n"]))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("unauthorized: authentication required", AccessDeniedError),
        ("pull access denied for x, repository does not exist or may require 'docker login'", AccessDeniedError),
        ("manifest for x:1 not found: manifest unknown", NotFoundError),
        ("dial tcp: lookup registry.example: no such host", UnavailableError),
        ("The command '/bin/sh -c exit 3' returned a non-zero code: 3", RuntimeFailureError),
    ],
)
def test_an_error_in_the_stream_is_raised_as_what_it_is(text, kind):
    with pytest.raises(kind) as raised:
        list(transfer.checked([{"status": "x"}, {"error": text, "errorDetail": {"message": text}}], "image x"))
    assert "image x" in str(raised.value)


def test_progress_is_one_bar_for_each_layer():
    told = []
    transfer.progress(
        {"status": "Downloading", "id": "abc", "progressDetail": {"current": 3, "total": 9}}, "pull", told.append
    )
    transfer.progress({"status": "Pull complete", "id": "abc", "progressDetail": {}}, "pull", told.append)
    assert [(item.label, item.done, item.total) for item in told] == [("pull abc", 3, 9)]
