"""Logs of several containers in order of time, and logs cut while they are written."""

import os
import time
from datetime import datetime
from pathlib import Path

import pytest

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
TWO = """\
name: bpv
services:
  a:
    image: lab/busybox
    command: [sh, -c, 'echo one; sleep 0.4; echo three; sleep 0.4; echo five']
  b:
    image: lab/busybox
    command: [sh, -c, 'sleep 0.2; echo two; sleep 0.4; echo four; sleep 1']
"""
LOUD = """\
name: bpv
services:
  a:
    image: lab/busybox
    command:
      - sh
      - -c
      - |
        i=0
        while [ $$i -lt 3000 ]; do i=$$((i+1)); echo line $$i; [ $$((i % 25)) = 0 ] && sleep 0.05; done
        echo end
        sleep 600
    stop_grace_period: 0s
"""


def words(text):
    return [line.rpartition("| ")[2] for line in text.splitlines()]


def test_two_are_merged_followed_and_cut_by_time(bayplan):
    bayplan.file.write_text(TWO)
    bayplan("apply")
    followed = bayplan("logs", "-f")
    assert sorted(words(followed)) == ["five", "four", "one", "three", "two"]
    entries = bayplan.lines("logs", "--json")
    times = [datetime.fromisoformat(entry["time"]) for entry in entries]
    assert times == sorted(times)
    assert {entry["container"] for entry in entries} == {"bpv-a-1", "bpv-b-1"}
    later = [entry["text"] for entry in entries[2:]]
    assert words(bayplan("logs", "--since", entries[2]["time"])) == later
    assert words(bayplan("logs", "--until", entries[1]["time"])) == [entry["text"] for entry in entries[:2]]
    assert words(bayplan("logs", "-n", "1", "a")) == ["five"]
    assert bayplan("logs", "-t", "--no-log-prefix", "-n", "1", "a").startswith("20")
    assert "is no time" in bayplan("logs", "--since", "yesterday", code=2)


def test_a_log_is_cut_by_rename_and_no_line_is_lost(bayplan):
    bayplan.environment.update(BAYPLAN_LOG_MAX_SIZE="20k", BAYPLAN_LOG_MAX_FILE="50")
    bayplan.file.write_text(LOUD)
    bayplan("apply")
    following = bayplan.popen("logs", "-f", "--no-log-prefix", stdout=-1, text=True)
    lines = []
    while not lines or lines[-1] != "end":
        lines.append(following.stdout.readline().rstrip("\n"))
    following.terminate()
    following.communicate()
    expected = [*(f"line {number}" for number in range(1, 3001)), "end"]
    assert lines == expected
    (log,) = (bayplan.settings.state_root / "containers").glob("*/log")
    deadline = time.monotonic() + 30
    while not Path(f"{log}.2").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert Path(f"{log}.1").exists()
    assert words(bayplan("logs", "--no-log-prefix")) == expected
