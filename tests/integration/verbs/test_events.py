"""events of real containers: by changes, by verbs, and by themselves."""

import os

import pytest

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def test_what_happened_is_told_in_order(bayplan):
    bayplan("apply")
    bayplan("stop", "-t", "0", "app")
    found = bayplan.lines("events", "--since", "1h", "--until", "0s", "--json")
    mine = [(item["action"], item["detail"]) for item in found if item["resource"] == "container bpv-app-1"]
    assert next(action for action, _ in mine) in ("create", "started")
    assert {("started", ""), ("create", ""), ("stop", ""), ("die", "exit code 137")} <= set(mine)
    assert [item["time"] for item in found] == sorted(item["time"] for item in found)
    assert bayplan("events", "--since", "2h", "--until", "1h") == ""
    assert "container bpv-app-1 die (exit code 137)" in bayplan("events", "--since", "1h", "--until", "0s")
