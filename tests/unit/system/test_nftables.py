"""A host whose nft cannot read its own rules."""

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
