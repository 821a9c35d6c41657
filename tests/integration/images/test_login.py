"""Credentials against a registry that wants them."""

import json
import stat

import pytest

pytestmark = pytest.mark.host


def test_a_login_is_checked_kept_used_and_forgotten(core, locked_registry):
    name, kept = f"{locked_registry}/box:1", core.root / "home/.config/containers/auth.json"
    core("image", "tag", "lab/busybox", name)
    assert "access is denied" in core("image", "push", name, code=2)
    said = core("login", locked_registry, "-u", "user", "--password-stdin", stdin=b"wrong\n", code=2)
    assert "refuses user or password" in said
    assert not kept.exists()
    said = core("login", locked_registry, "-u", "user", "--password-stdin", stdin=b"not-so-secret\n")
    assert str(kept) in said
    assert "not-so-secret" not in said
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert core("image", "push", name, "--json")[0]["uploaded"] == 2
    core("image", "rm", name, "lab/busybox")
    core("pull", name, "--json")
    assert core("logout", locked_registry, "--json")["changed"]
    assert not core("logout", locked_registry, "--json")["changed"]
    assert json.loads(kept.read_text()) == {"auths": {}}
    assert "access is denied" in core("image", "push", name, code=2)


def test_a_broken_file_is_not_overwritten(core, locked_registry):
    kept = core.root / "home/.config/containers/auth.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("{")
    core("login", locked_registry, "-u", "user", "--password-stdin", stdin=b"not-so-secret\n", code=1)
    assert kept.read_text() == "{"
    assert "no registry host" in core("login", "-", "-u", "user", "--password-stdin", stdin=b"x\n", code=2)
