"""Fault row 20: a clock that jumps a year, forth and back. Only the supervisor sees it jump (libfaketime)."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bayplan.runtime.native.supervisor.place import Files
from faults.core import small_core

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not LIBRARIES, reason="package faketime is not installed"),
]
INTERVAL_S = 0.2
STACK = f"""\
name: clock
services:
  app:
    image: lab/busybox
    command: [sh, -c, 'exec sleep 600']
    network_mode: none
    restart: always
    stop_grace_period: 50ms
    healthcheck: {{test: [CMD, sh, -c, 'echo x >> /checks'], interval: {INTERVAL_S}s, timeout: 20s}}
"""


def test_no_storm_of_checks_and_no_restart(tmp_path):
    """Fault row 20."""
    with small_core(tmp_path, STACK) as core:
        core.call("apply")
        core.stop_supervisor()
        offset = tmp_path / "offset"
        offset.write_text("+0")
        files = Files.of(core.settings)
        with (tmp_path / "said").open("wb") as said:
            subprocess.run(
                [sys.executable, "-P", "-m", "bayplan.runtime.native.supervisor", str(files.settings), "-1"],
                env={
                    **os.environ,
                    "LD_PRELOAD": str(LIBRARIES[0]),
                    "FAKETIME_TIMESTAMP_FILE": str(offset),
                    "FAKETIME_NO_CACHE": "1",
                    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                },
                stdout=said,
                stderr=said,
                check=True,
            )
        before = core.status()["clock-app-1"]
        checks = core.settings.state_root / "containers" / before["id"] / "upper/checks"

        def count():
            return len(checks.read_text().splitlines()) if checks.exists() else 0

        def more(number):
            """Seconds in which so many checks more were run."""
            begin, start, limit = count(), time.monotonic(), time.monotonic() + 60
            while count() < begin + number:
                assert time.monotonic() < limit
                time.sleep(0.01)
            return time.monotonic() - start

        more(2)
        seen = set()
        for jump in ("+365d", "-365d", "+0"):
            offset.write_text(jump)
            # A storm would be many at once; that a busy machine takes longer says nothing.
            assert more(6) > 4 * INTERVAL_S
            seen.add(core.query("SELECT checked_at FROM health")[0][0][:4])
        after = core.status()["clock-app-1"]
        assert (after["pid"], after["restarts"], after["health"]) == (before["pid"], 0, "healthy")
        assert len(seen) == 3, "the clock did not jump"
