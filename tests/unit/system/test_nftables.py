"""A host whose nft cannot read its own rules."""

import os

import pytest

from bayplan.errors import UnsupportedError
from bayplan.system import nftables


def test_an_nft_that_crashes_is_told_before_it_can_end_this_process(tmp_path, monkeypatch):
    program = tmp_path / "nft"
    program.write_text("#!/bin/sh\nkill -SEGV $$\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(UnsupportedError, match=r"SIGSEGV.*newer nft"):
        nftables._probe()


def test_a_missing_nft_is_named_with_its_package(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(nftables, "_SBIN", str(tmp_path))
    with pytest.raises(UnsupportedError, match="install package nftables"):
        nftables._probe()


@pytest.mark.host
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_was_listed_is_asked_anew_after_every_change_of_rules(monkeypatch):
    asked, execute = [], nftables._execute

    def heard(commands, *more, **how):
        asked.append(commands)
        return execute(commands, *more, **how)

    monkeypatch.setattr(nftables, "_execute", heard)
    name = f"bayplan_test_{os.getpid()}"
    try:
        nftables.run(f"add table inet {name}")
        assert nftables.listing(f"table inet {name}") == nftables.listing(f"table inet {name}")
        assert asked.count(f"list table inet {name}") == 1
        nftables.run(f"add chain inet {name} one")
        assert any("chain" in item for item in nftables.listing(f"table inet {name}"))
    finally:
        nftables.run(f"delete table inet {name}")
    assert nftables.listing(f"table inet {name}") == []
