"""events of real containers: by changes, by verbs, and by themselves."""

import os
import time

import pytest

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def test_what_happened_is_told_in_order(bayplan):
    bayplan("apply")
    bayplan("pause", "app")
    bayplan("unpause", "app")
    bayplan("kill", "-s", "USR1", "base")
    bayplan("rename", "app", "other")
    bayplan("stop", "-t", "0", "other")
    bayplan("rm", "other")
    found = bayplan.lines("events", "--since", "1h", "--until", "0s", "--json")
    mine = [(item["action"], item["detail"]) for item in found if item["resource"] == "container bpv-app-1"]
    assert mine == [("create", ""), ("start", ""), ("pause", ""), ("unpause", "")]
    later = [(item["action"], item["detail"]) for item in found if item["resource"] == "container other"]
    assert later == [("rename", "was bpv-app-1"), ("die", "exit code 137"), ("stop", ""), ("destroy", "")]
    assert ("network bpv_default", "create") in {(item["resource"], item["action"]) for item in found}
    assert [item["time"] for item in found] == sorted(item["time"] for item in found)
    assert bayplan("events", "--since", "2h", "--until", "1h") == ""
    assert "container other die (exit code 137)" in bayplan("events", "--since", "1h", "--until", "0s")


def test_ends_and_verdicts_that_no_change_made(bayplan):
    text = bayplan.file.read_text().replace("echo ready; while :; do sleep 0.05; done", "touch /ok; sleep 1; exit 3")
    health = "    restart: on-failure:1\n    healthcheck: {test: [CMD, ls, /ok], interval: 100ms}\n"
    bayplan.file.write_text(text.replace("    depends_on: [base]\n", health))
    bayplan("apply")
    deadline = time.monotonic() + 30
    while True:
        found = bayplan.lines("events", "--since", "1h", "--until", "0s", "--json")
        mine = [(item["action"], item["detail"]) for item in found if item["resource"] == "container bpv-app-1"]
        if mine.count(("die", "exit code 3")) == 2:
            break
        assert time.monotonic() < deadline, mine
    assert ("start", "restart 1") in mine
    assert ("health_status", "healthy") in mine
