"""Overlays, as the kernel says that it has mounted them."""

import os
from pathlib import Path

import pytest

from bayplan.system import mounts, namespaces

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.mark.parametrize("old", [False, True], ids=["fsconfig", "mount"])
def test_what_is_moved_is_written_whole_whatever_the_host_s_default(tmp_path, monkeypatch, old):
    monkeypatch.setattr(mounts, "_no_single_layers", [True] if old else [])
    places = [tmp_path / name for name in ("lower", "upper", "work", "merged")]
    for place in places:
        place.mkdir()
    lower, upper, work, merged = places
    (lower / "directory").mkdir()

    def body():
        mounts.mount_overlay([lower], upper, work, merged)
        with pytest.raises(OSError, match="cross-device"):  # mv(1) then copies
            (merged / "directory").rename(merged / "moved")
        return next(
            line for line in Path("/proc/thread-self/mountinfo").read_text().splitlines() if str(merged) in line
        )

    assert "redirect_dir=nofollow" in namespaces.in_private_mounts(body)
