"""start, stop, kill, pause ... as a user gives them, on the real core, and what a later plan makes of them."""

import os
import subprocess
import time

import pytest

from bayplan.system.files import locked

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def ready(bayplan):
    while "ready" not in bayplan("logs", "app") or "up" not in bayplan("logs", "base"):
        time.sleep(0.05)


def steps(bayplan):
    return {(item["action"], item["resource"]["name"], item["why"]) for item in bayplan("plan", "--json")["steps"]}


def test_stop_start_restart_and_kill(bayplan):
    bayplan("apply")
    ready(bayplan)
    assert bayplan("stop", "app", "--json") == {"verb": "stop", "done": ["bpv-app-1"], "failed": {}}
    assert bayplan.status("bpv-app-1")["exit_code"] == 5
    assert steps(bayplan) == {("start", "bpv-app-1", "was stopped")}
    bayplan("start", "app")
    assert "Nothing to do" in bayplan("plan")
    before = bayplan.status("bpv-app-1")["pid"]
    bayplan("restart", "-t", "0", "app")
    assert bayplan.status("bpv-app-1")["pid"] not in (None, before)
    bayplan("kill", "-s", "HUP", "base")
    bayplan("kill", "app")
    assert bayplan.status("bpv-app-1")["exit_code"] == 137
    assert "is not running" in bayplan("kill", "app", code=1)
    assert "unknown signal" in bayplan("kill", "-s", "NONSENSE", "base", code=1)
    bayplan("stop")
    assert bayplan.states() == {"app": "exited", "base": "exited"}


def test_a_paused_one_is_shown_and_can_be_stopped_killed_and_applied(bayplan):
    bayplan("apply")
    ready(bayplan)
    for _ in range(2):
        bayplan("pause", "app")
    assert bayplan.states() == {"app": "paused", "base": "running"}
    assert steps(bayplan) == {("start", "bpv-app-1", "paused")}
    assert "is paused" in bayplan("exec", "app", "true", code=2)
    bayplan("unpause", "app")
    assert "Nothing to do" in bayplan("plan")
    bayplan("pause")
    bayplan("apply")
    assert bayplan.states() == {"app": "running", "base": "running"}
    bayplan("pause")
    bayplan("stop", "app")
    assert bayplan.status("bpv-app-1")["exit_code"] == 5
    bayplan("kill", "base")
    assert bayplan.status("bpv-base-1")["exit_code"] == 137
    bayplan("start")
    bayplan("pause", "app")
    bayplan("rm", "-f", "app")
    assert bayplan.states() == {"base": "running"}


def test_rm_refuses_what_runs_and_a_plan_makes_it_anew(bayplan):
    bayplan("apply")
    assert "is running" in bayplan("rm", "app", code=2)
    assert bayplan.states() == {"app": "running", "base": "running"}
    bayplan("stop", "-t", "0", "app")
    bayplan("rm")
    assert bayplan.states() == {"base": "running"}
    assert steps(bayplan) == {("create", "bpv-app-1", "declared, not on the host")}


def test_a_renamed_one_is_found_by_its_new_name_and_keeps_it(bayplan):
    bayplan("apply")
    bayplan("rename", "app", "other")
    assert "other" in bayplan("exec", "base", "cat", "/etc/hosts")
    assert "Nothing to do" in bayplan("plan")
    text = bayplan.file.read_text().replace(
        "    depends_on: [base]\n", "    depends_on: [base]\n    environment: {A: b}\n"
    )
    bayplan.file.write_text(text)
    assert {item[:2] for item in steps(bayplan)} == {("re-create", "other")}
    bayplan("apply")
    assert bayplan.status("other")["state"] == "running"
    assert "Nothing to do" in bayplan("plan")
    assert "exists" in bayplan("rename", "other", "bpv-base-1", code=1)
    assert "is no name" in bayplan("rename", "other", "a b", code=2)
    bayplan("rename", "other", "bpv-app-1")
    assert "Nothing to do" in bayplan("plan")


def test_a_name_that_is_declared_or_that_others_share_is_not_changed(bayplan):
    text = bayplan.file.read_text().replace("  base:\n", "  base:\n    container_name: mine\n")
    more = "  third:\n    image: lab/busybox\n    command: [sleep, '600']\n    network_mode: service:app\n"
    bayplan.file.write_text(text + more + "    stop_grace_period: 50ms\n")
    bayplan("apply")
    assert "the name of container mine is declared" in bayplan("rename", "base", "other", code=2)
    assert "share a namespace of bpv-app-1" in bayplan("rename", "app", "other", code=2)
    assert "Nothing to do" in bayplan("plan")


def test_wait_prints_exit_codes(bayplan):
    bayplan("apply")
    ready(bayplan)
    waiting = bayplan.popen("wait", "app", "base", stdout=subprocess.PIPE, text=True)
    bayplan("stop")
    assert waiting.communicate(timeout=60)[0] == "5\n6\n"
    assert bayplan("wait", "app", "--json") == {"bpv-app-1": 5}


def test_a_stopped_one_is_not_started_again_by_its_policy(bayplan):
    text = bayplan.file.read_text().replace("    depends_on: [base]\n", "    restart: always\n")
    bayplan.file.write_text(text)
    bayplan("apply")
    ready(bayplan)
    bayplan("kill", "app")
    time.sleep(0.5)
    assert bayplan.states()["app"] == "exited"


def test_a_verb_waits_for_the_host_as_an_apply_does(bayplan):
    bayplan("apply")
    with locked(bayplan.settings.lock_file, "a test", 0):
        assert "a test" in bayplan("stop", "app", "--lock-timeout", "100ms", code=3)
    assert bayplan.states()["app"] == "running"
