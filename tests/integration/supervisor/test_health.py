"""Health checks after an apply has ended."""

import os
import signal
import time
from pathlib import Path

import pytest

from bayplan.errors import RuntimeFailureError
from bayplan.models import Duration
from bayplan.runtime.protocol import Health
from bayplan.system import cgroups
from faults.core import add_image

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
CHECKED = """\
command: [sh, -c, 'echo fine > /ok; exec sleep 600']
healthcheck: {test: [CMD, cat, /ok], interval: 100ms, retries: 2}
"""


def run(core, line):
    return core.runtime.exec("bps-app-1", ["sh", "-c", line])


def test_health_follows_the_container(core):
    core.apply(CHECKED)
    core.until(lambda: core.status.health is Health.HEALTHY)
    assert core.health["last_output"] == "fine\n"
    assert core.apply(CHECKED) == []
    run(core, "cat /ok > /kept")
    Path(f"/proc/{core.status.pid}/root/ok").unlink()
    core.until(lambda: core.status.health is Health.UNHEALTHY)
    assert core.health["failing_streak"] >= 2
    assert "/ok" in core.health["last_output"]
    run(core, "cat /kept > /ok")
    core.until(lambda: core.status.health is Health.HEALTHY)


def test_starting_until_there_is_a_verdict(core):
    core.apply("command: [sleep, '600']\nhealthcheck: {test: [CMD, 'cat', '/no'], interval: 1h}")
    core.until(lambda: core.health["last_output"])
    assert core.status.health is Health.STARTING
    assert core.health["failing_streak"] == 0


def test_a_hanging_check_is_killed_with_its_group(core):
    """Fault row 30."""
    text = "command: [sleep, '600']\nhealthcheck: {test: [CMD-SHELL, 'sleep 601 & sleep 602'], %s}"
    core.apply(text % "interval: 50ms, timeout: 200ms, retries: 2")
    core.until(lambda: core.status.health is Health.UNHEALTHY)
    assert "exceeded its timeout of 0.2 s" in core.health["last_output"]
    core.supervisor.send(signal.SIGTERM)
    core.until(lambda: core.supervisor is None)
    core.until(lambda: len(cgroups.members(f"{core.settings.cgroup_parent}/{core.row['id']}")) == 1)


def test_what_a_killed_supervisor_left_running_is_ended_by_the_next(core):
    """Fault row 30."""
    core.apply("command: [sleep, '600']\nhealthcheck: {test: [CMD, sleep, '603'], interval: 1h, timeout: 1h}")
    group = f"{core.settings.cgroup_parent}/{core.row['id']}"
    pid_file = core.settings.run_root / "containers" / core.row["id"] / "health.pid"
    left = int(core.until(lambda: pid_file.exists() and pid_file.read_text()))
    core.supervisor.send(signal.SIGKILL)
    core.until(lambda: core.supervisor is None)
    assert left in [item.pid for item in cgroups.members(group)]
    with core.runtime.lock("some other change"):
        pass
    core.until(lambda: left not in [item.pid for item in cgroups.members(group)])


def test_a_check_that_ends_after_another_was_declared_says_nothing_of_that(core):
    text = "command: [sleep, '600']\nhealthcheck: {test: %s, interval: 50ms, timeout: 10s, retries: 1}"
    core.apply(text % "[CMD-SHELL, 'touch /begun; sleep 1']")
    core.until(lambda: run(core, "test -e /begun").exit_code == 0)
    core.apply(text % "[CMD, 'false']")
    end, seen = time.monotonic() + 2, set()
    while time.monotonic() < end:
        seen.add(core.status.health)
        time.sleep(0.01)
    assert seen <= {Health.STARTING, Health.UNHEALTHY}
    assert core.status.health is Health.UNHEALTHY


def test_output_is_capped(core):
    text = "command: [sleep, '600']\nhealthcheck: {test: [CMD-SHELL, 'cat /bin/busybox /bin/busybox; echo'], %s}"
    core.apply(text % "interval: 100ms")
    core.until(lambda: core.status.health is Health.HEALTHY)
    assert 0 < len(core.health["last_output"]) <= 4096


def test_health_is_in_the_record_when_the_apply_that_waited_ends(core):
    text = CHECKED + "\n"
    stack = text + "labels: {n: '1'}"
    core.apply(stack)
    core.until(lambda: core.status.health is Health.HEALTHY)
    # A replacement waits for the health of its successor; the supervisor is told to stay out by nobody.
    assert core.apply(stack + "\nenvironment: {A: b}") == ["re-create bps-app-1"]
    assert core.status.health is Health.HEALTHY


def test_a_check_that_goes_away_takes_its_result_with_it(core):
    core.apply(CHECKED)
    core.until(lambda: core.status.health is Health.HEALTHY)
    pid = core.status.pid
    supervisor = core.supervisor
    plain = CHECKED.splitlines()[0]
    assert core.apply(plain) == ["update bps-app-1"]
    assert (core.status.health, core.status.pid) == (Health.NONE, pid)
    assert not supervisor.alive


def test_a_check_that_fails_for_good_says_what_it_said(core):
    failing = (
        "command: [sleep, '600']\nhealthcheck: {test: [CMD-SHELL, 'echo no db; exit 1'], interval: 50ms, retries: 2}"
    )
    core.apply(failing)
    core.until(lambda: core.status.health is Health.UNHEALTHY)
    with pytest.raises(RuntimeFailureError) as caught:
        core.runtime.wait("bps-app-1", "service_healthy", Duration(seconds=5))
    assert caught.value.output.endswith("-- the last health check said:\nno db")


def test_in_the_start_period_checks_are_close_together_and_failures_do_not_count(core):
    """Without start_interval the second check would be an hour after the first."""
    times = "interval: 1h, start_period: 30m, start_interval: 50ms, retries: 1"
    core.apply(f"command: [sleep, '600']\nhealthcheck: {{test: [CMD-SHELL, 'echo x >> /tries; cat /ok'], {times}}}")
    core.until(lambda: run(core, "cat /tries; true").stdout.count(b"x") >= 3)
    assert (core.status.health, core.health["failing_streak"]) == (Health.STARTING, 0)
    run(core, "echo > /ok")
    core.until(lambda: core.status.health is Health.HEALTHY)


def test_failures_count_after_the_start_period(core):
    times = "interval: 100ms, start_period: 1s, start_interval: 50ms, retries: 1"
    core.apply(f"command: [sleep, '600']\nhealthcheck: {{test: [CMD, cat, /no], {times}}}")
    core.until(lambda: core.status.health is Health.UNHEALTHY)
    assert core.health["failing_streak"] >= 1


def test_times_alone_are_laid_over_the_check_of_the_image(core):
    hour = 3600 * 10**9
    check = {"Test": ["CMD-SHELL", "echo from the image; exit 1"], "Interval": hour, "Retries": 7}
    add_image(core.settings.state_root / "images", "lab/checked", Healthcheck=check)
    core.apply("image: lab/checked\ncommand: [sleep, '600']\nhealthcheck: {interval: 50ms, retries: 2}")
    core.until(lambda: core.status.health is Health.UNHEALTHY)
    assert core.health["last_output"] == "from the image\n"
    assert core.apply("image: lab/checked\ncommand: [sleep, '600']\nhealthcheck: {disable: true}") == [
        "update bps-app-1"
    ]
    assert core.status.health is Health.NONE


def test_times_without_any_check_are_none(core):
    core.apply("command: [sleep, '600']\nhealthcheck: {interval: 50ms}")
    assert (core.status.health, core.supervisor) == (Health.NONE, None)
