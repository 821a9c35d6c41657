import io

import pytest

from bayplan.errors import UnavailableError, UnsupportedError
from bayplan.registry import web
from bayplan.registry.limits import Limits
from builds import Server

QUICK = Limits(attempts=2, first_wait_s=0)


@pytest.fixture
def server():
    made = Server()
    yield made
    made.close()


def test_redirects_are_bounded_and_lead_nowhere_else(server):
    """Attack row "Build": what a server names is not trusted."""
    server.files = {
        "/loop": "/loop",
        "/metadata": "http://169.254.169.254/latest",
        "/file": "file:///etc/passwd",
        "/none": "",
    }
    client = web.Web(QUICK)
    for path, error, says in (
        ("/loop", UnavailableError, "too many redirects"),
        ("/metadata", UnsupportedError, "leads to a link-local address"),
        ("/file", UnsupportedError, "leads to a malformed address"),
        ("/none", UnsupportedError, "leads to a malformed address"),
    ):
        with pytest.raises(error, match=says):
            client.fetch(server.url + path, io.BytesIO())
    with pytest.raises(UnsupportedError, match="leads from https to plain http"):
        web._next("https://a.example/x", "https://a.example/x", "http://a.example/x", "a.example")


def test_sizes_are_bounded(server):
    """Attack row "Build": a file without end."""
    server.files = {"/big": b"x" * 1001}
    with pytest.raises(UnsupportedError, match="larger than 1000 bytes"):
        web.Web(QUICK, max_bytes=1000).fetch(f"{server.url}/big", io.BytesIO())
