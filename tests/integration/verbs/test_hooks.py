"""post_start and pre_stop on the real core: in order, as whom and with what they say, and what their failures mean."""

import os

import pytest

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
TOP = """\
name: bpv
services:
  app:
    image: lab/busybox
    command: [sh, -c, 'trap "exit 5" TERM; while :; do sleep 0.05; done']
    stop_grace_period: 5s
    environment: {MINE: own, HOOKS: none}
    volumes: ["notes:/notes"]
"""
NOTES = "    {when}: [{{command: [sh, -c, '{line}']}}]\n"


def declare(bayplan, *hooks, more=""):
    bayplan.file.write_text(TOP + "".join(hooks) + more + "volumes: {notes: {}}\n")


def notes(bayplan):
    return bayplan("exec", "app", "cat", "/notes/said").splitlines()


def test_in_order_as_declared_and_at_each_start_and_stop(bayplan):
    first = "echo $$MINE $$HOOKS $$(id -u) $$PWD >> /notes/said"
    declare(
        bayplan,
        "    post_start:\n    - {command: chmod 777 /notes}\n",
        f"    - {{command: [sh, -c, '{first}'], user: '7:8', working_dir: /notes, environment: [HOOKS=some]}}\n",
        "    - {command: [sh, -c, 'busybox grep Eff /proc/self/status >> /notes/said'], privileged: true}\n",
        "    pre_stop: [{command: [sh, -c, 'echo stop >> /notes/said']}]\n",
    )
    bayplan("apply")
    bayplan("restart", "app")
    said = notes(bayplan)
    assert said[-2] == "own some 7 /notes"
    assert "stop" in said
    plain = bayplan("exec", "app", "busybox", "grep", "Eff", "/proc/self/status").split()[1]
    assert int(said[-1].split()[1], 16) > int(plain, 16)
    assert "Nothing to do" in bayplan("plan")
    before = said.count("stop")
    bayplan.file.write_text(bayplan.file.read_text().replace("MINE: own", "MINE: other"))
    bayplan("apply")
    assert notes(bayplan).count("stop") == before + 1
    assert "other some 7 /notes" in notes(bayplan)


def test_a_change_of_them_restarts_nothing(bayplan):
    declare(bayplan, NOTES.format(when="post_start", line="echo one >> /notes/said"))
    bayplan("apply")
    pid = bayplan.status("bpv-app-1")["pid"]
    declare(bayplan, NOTES.format(when="post_start", line="echo two >> /notes/said"))
    (step,) = bayplan("plan", "--json")["steps"]
    assert step["action"] == "update"
    bayplan("apply")
    assert (bayplan.status("bpv-app-1")["pid"], notes(bayplan)) == (pid, ["one"])
    bayplan("restart", "app")
    assert notes(bayplan) == ["one", "two"]


def test_a_failing_post_start_fails_the_step_and_brings_the_old_one_back(bayplan):
    declare(bayplan)
    bayplan("apply")
    bad = NOTES.format(when="post_start", line="echo no such luck; exit 3") + "    labels: {}\n    user: '0:1'\n"
    declare(bayplan, bad)
    said = bayplan("apply", code=1)
    assert "post_start command 1 (sh) gave exit code 3" in said
    assert "no such luck" in said
    assert bayplan("exec", "app", "id", "-g") == "0\n"
    assert bayplan.status("bpv-app-1")["state"] == "running"


def test_a_failing_post_start_of_a_first_start_ends_it(bayplan):
    declare(bayplan, NOTES.format(when="post_start", line="exit 3"))
    assert "post_start command 1" in bayplan("apply", code=1)
    assert bayplan.status("bpv-app-1")["state"] == "exited"
    assert "post_start failed" in bayplan("events", "--since", "10m", "--until", "0s")
    declare(bayplan)
    bayplan("apply")
    assert bayplan.status("bpv-app-1")["state"] == "running"


def test_a_failing_pre_stop_is_told_and_stops_it_all_the_same(bayplan):
    declare(bayplan, NOTES.format(when="pre_stop", line="exit 9"))
    bayplan("apply")
    assert "pre_stop command 1 (sh) gave exit code 9; it is stopped all the same" in bayplan("stop", "app")
    assert bayplan.status("bpv-app-1")["exit_code"] == 5


def test_exec_with_more_rights(bayplan):
    declare(bayplan)
    bayplan("apply")
    mask = ("busybox", "grep", "-E", "CapBnd|NoNewPrivs", "/proc/self/status")
    assert bayplan("exec", "app", *mask) != bayplan("exec", "--privileged", "app", *mask)
    assert "NoNewPrivs:\t0" in bayplan("exec", "--privileged", "app", *mask)
    assert "NoNewPrivs:\t1" in bayplan("exec", "app", *mask)
