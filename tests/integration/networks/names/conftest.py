"""A core for each test, whose name server asks a DNS server of the test's own."""

import pytest

from resolving import Upstream, opened


@pytest.fixture
def upstream():
    made = Upstream()
    yield made
    made.close()


@pytest.fixture
def core(upstream, tmp_path, monkeypatch):
    with opened() as made:
        daemon = made.runtime.networks.name_server.daemon
        monkeypatch.setattr(daemon, "start", upstream.seen_by(daemon.start, tmp_path))
        yield made
