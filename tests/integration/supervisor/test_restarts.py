"""Restart policies, with the real process, containers and kills."""

import json
import os
import signal
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bayplan.reconcile.basis import fingerprint
from bayplan.runtime.protocol import Health, State
from bayplan.system.processes import Process, find_by_argument

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
SLEEPS = "command: [sleep, '600']\nrestart: unless-stopped"


def kill(core):
    """Kill the container's first process; the process it was."""
    process = Process(core.row["pid"], core.row["pid_start"])
    assert process.send(signal.SIGKILL)
    return process


def started_again(core, restarts):
    return core.status.state is State.RUNNING and core.status.restarts == restarts


def test_a_killed_container_comes_back_and_a_second_apply_does_nothing(core):
    assert "create bps-app-1" in core.apply(SLEEPS)
    first = kill(core)
    core.until(lambda: started_again(core, 1))
    assert core.status.pid != first.pid
    assert core.apply(SLEEPS) == []
    address = core.runtime.database.query("SELECT address FROM endpoints")[0][0]
    kill(core)
    core.until(lambda: started_again(core, 2))
    assert core.runtime.database.query("SELECT address FROM endpoints")[0][0] == address
    assert core.observed.defects == {}


def test_a_restart_loop_backs_off_and_changes_no_plan(core):
    """Fault row 29."""
    text = "command: ['true']\nrestart: always"
    core.apply(text)
    # It says so when it is told of the start, a moment after that is recorded.
    core.until(lambda: "started again after 0.2 s" in core.log)
    assert "started again after 0.1 s" in core.log
    core.until(lambda: core.status.state is State.RESTARTING)
    assert not core.plan(text).changed


def test_on_failure_gives_up_after_its_tries_and_the_supervisor_ends(core):
    text = "command: [sh, -c, 'exit 3']\nrestart: on-failure:2"
    core.apply(text)
    core.until(lambda: core.supervisor is None)
    status = core.status
    assert (status.state, status.exit_code, status.restarts) == (State.EXITED, 3, 2)
    assert [step.action.value for step in core.plan(text).steps] == ["start"]


def test_on_failure_leaves_success_alone(core):
    text = "command: [sh, -c, 'exit 0']\nrestart: on-failure"
    core.apply(text)
    core.until(lambda: core.supervisor is None)
    assert (core.status.state, core.status.restarts) == (State.EXITED, 0)
    assert not core.plan(text).changed


def test_what_was_stopped_stays_stopped(core):
    core.apply(SLEEPS)
    supervisor = core.supervisor
    with core.runtime.lock("stop"):
        core.runtime.stop("bps-app-1")
    # It is not needed any more, so the end of the change was its end too.
    assert not supervisor.alive
    assert (core.status.state, core.status.restarts) == (State.EXITED, 0)
    assert [step.action.value for step in core.plan(SLEEPS).steps] == ["start"]


def test_nothing_is_restarted_while_a_change_holds_the_host(core):
    core.apply(SLEEPS)
    with core.runtime.lock("a long change"):
        first = kill(core)
        core.until(lambda: core.status.state is State.RESTARTING)
        time.sleep(0.5)  # room for a wrong restart
        assert core.row["pid"] == first.pid
        # The change stops it: the supervisor must not undo that.
        core.runtime.stop("bps-app-1")
    time.sleep(0.5)
    assert core.status.state is State.EXITED


def test_a_plan_is_still_good_after_a_restart(core):
    core.apply(SLEEPS)
    planned = core.plan(SLEEPS + "\nlabels: {a: b}")
    with core.runtime.lock("a change that comes between"):
        kill(core)
        core.until(lambda: core.status.state is State.RESTARTING)
        assert fingerprint(core.runtime.observe(planned.scope)) == planned.basis
    core.until(lambda: started_again(core, 1))
    assert fingerprint(core.runtime.observe(planned.scope)) == planned.basis


def test_a_killed_supervisor_is_drift_and_containers_never_notice(core):
    """Fault row 26."""
    core.apply(SLEEPS)
    pid = core.status.pid
    supervisor = core.supervisor
    assert supervisor.send(signal.SIGKILL)
    core.until(lambda: core.supervisor is None)
    assert "the supervisor does not run" in core.observed.defects
    assert core.apply(SLEEPS) == ["heal bps-app-1"]
    assert core.supervisor not in (None, supervisor)
    assert core.status.pid == pid
    assert core.observed.defects == {}
    kill(core)
    core.until(lambda: started_again(core, 1))


def test_a_supervisor_of_another_version_is_replaced(core):
    core.apply(SLEEPS)
    old, pid = core.supervisor, core.status.pid
    file = core.settings.run_root / "supervisor/holder.json"
    file.write_text(file.read_text().replace('"version": "', '"version": "0.0-before-'))
    with core.runtime.lock("some change"):
        pass
    assert not old.alive
    assert core.supervisor not in (None, old)
    assert core.status.pid == pid


def test_a_supervisor_takes_up_what_ended_without_one(core):
    core.apply(SLEEPS)
    core.supervisor.send(signal.SIGKILL)
    core.until(lambda: core.supervisor is None)
    kill(core)
    core.until(lambda: core.status.state is State.EXITED)
    with core.runtime.lock("some other change"):
        pass
    core.until(lambda: started_again(core, 1))


def test_a_restart_that_was_cut_is_taken_up(core):
    core.apply(SLEEPS)
    with core.runtime.lock("cut"):
        # As a kill between create and start leaves it: wanted, started once, no process recorded.
        kill(core)
        core.runtime.containers.records.set(core.row["id"], pid=None, exit_code=None, finished_at=None)
        assert core.status.state is State.RESTARTING
        assert not core.plan(SLEEPS).changed
    core.until(lambda: started_again(core, 1))


def test_a_container_whose_monitor_was_killed_comes_back(core):
    """Fault row 2."""
    core.apply(SLEEPS)
    for monitor in find_by_argument(f"--cid={core.row['id']}"):
        monitor.send(signal.SIGKILL)
        monitor.wait(10)
    kill(core)
    core.until(lambda: started_again(core, 1))


def test_a_stranger_with_the_recorded_pid_is_never_signalled(core):
    """Fault row 9."""
    core.apply(SLEEPS)
    with subprocess.Popen(["sleep", "600"]) as stranger:
        with core.runtime.lock("reuse"):
            kill(core).wait(10)
            core.runtime.containers.records.set(core.row["id"], pid=stranger.pid)
        core.until(lambda: started_again(core, 1))
        assert stranger.poll() is None
        stranger.kill()


def test_a_failing_restart_is_tried_again(core):
    core.apply(SLEEPS)
    records = core.runtime.containers.records
    good = json.loads(records.bundle(core.row["id"])["config"])
    records.reconfigure(core.row["id"], {**good, "process": {**good["process"], "args": ["no-such-program"]}})
    kill(core)
    core.until(lambda: "could not be started again" in core.log)
    core.until(lambda: core.status.state is State.RESTARTING)
    records.reconfigure(core.row["id"], good)
    core.until(lambda: core.status.state is State.RUNNING)
    assert core.status.restarts >= 2


LATE = """\
command: [sh, -c, 'for i in 1 2; do [ -e /$$i ] || { : > /$$i; exit 4; }; done; exec sleep 600']
restart: on-failure
healthcheck: {test: [CMD, cat, "/2"], interval: 3s}
"""
USER = """\
  user:
    image: lab/busybox
    command: [sleep, '600']
    stop_grace_period: 100ms
    depends_on: {app: {condition: service_healthy}}
"""


def test_an_apply_that_waits_gives_a_container_its_restarts(core):
    """It fails until its third start; what depends on its health comes all the same."""
    assert core.apply(LATE, USER)[-1] == "create bps-user-1"
    assert (core.status.state, core.status.restarts, core.status.health) == (State.RUNNING, 2, Health.HEALTHY)


def test_an_apply_that_waits_gives_up_on_a_restart_loop(core):
    core.declare("command: [sh, -c, 'echo broken; exit 5']\nrestart: always\n" + LATE.splitlines()[2], USER)
    said = core.command("apply", "--json", code=1)
    assert "ended with exit code 5" in said
    assert "broken" in core.command("logs", "app")


def test_the_process_is_a_daemon_of_its_own(core):
    core.apply(SLEEPS)
    supervisor = core.supervisor
    proc = f"/proc/{supervisor.pid}"
    assert os.getsid(supervisor.pid) != os.getsid(0)
    assert Path(proc, "cwd").readlink() == Path("/")
    assert Path(proc, "ns/mnt").readlink() == Path("/proc/self/ns/mnt").readlink()
    assert str(core.settings.run_root) in Path(proc, "cmdline").read_text()
    opened = [str(item.readlink()) for item in Path(proc, "fd").iterdir()]
    known = ("/dev/null", str(core.settings.run_root), str(core.settings.state_root), "anon_inode:", "/memfd:crun ")
    assert [name for name in opened if not name.startswith(known)] == []
    supervisor.send(signal.SIGHUP)
    kill(core)
    core.until(lambda: started_again(core, 1))
    assert core.supervisor == supervisor
    assert supervisor.send(signal.SIGTERM)
    assert supervisor.wait(10)
    assert core.status.state is State.RUNNING


ASKED = "command: [sh, -c, 'trap \"exit 7\" %s; echo ready; while :; do sleep 0.05; done']\nstop_signal: %s\n"


@pytest.mark.parametrize(("name", "number"), [("SIGRTMIN+3", 37), ("RTMAX-1", 63), ("SIGUSR2", 12), ("34", 34)])
def test_the_declared_signal_asks_it_to_end_within_the_grace_period(core, name, number):
    """What is asked by a signal that it knows ends by itself; a minute is room enough, and nobody waits for it."""
    core.apply(ASKED % (number, name) + "stop_grace_period: 1m")
    core.until(lambda: any(core.runtime.logs("bps-app-1")))
    core.command("stop", "app")
    assert core.status.exit_code == 7


def test_what_does_not_listen_is_killed_after_the_grace_period(core):
    core.apply(ASKED % ("TERM", "SIGWINCH") + "stop_grace_period: 200ms\ninit: true")
    core.until(lambda: any(core.runtime.logs("bps-app-1")))
    core.command("stop", "app")
    assert core.status.exit_code == 137


def test_a_run_ended_when_it_did_not_when_somebody_looked(core):
    core.apply("command: [sh, -c, 'sleep 0.3; exit 3']")
    exit_file = core.settings.run_root / "containers" / core.row["id"] / "exit" / core.row["id"]
    core.until(lambda: exit_file.exists() and exit_file.read_text())
    time.sleep(1.5)
    ended = datetime.fromtimestamp(exit_file.stat().st_mtime, UTC)
    assert core.status.finished_at == ended
    (died,) = [item for item in core.runtime.happened() if item[3] == "die"]
    assert died[0] == ended
    assert core.status.finished_at == ended, "the second look says what the first one did"


def test_a_run_that_ended_at_once_did_not_end_before_it_began(core):
    for number in range(5):
        core.apply(f"command: [sh, -c, 'exit 3']\nlabels: {{turn: '{number}'}}")
        exit_file = core.settings.run_root / "containers" / core.row["id"] / "exit" / core.row["id"]
        core.until(lambda at=exit_file: at.exists() and at.read_text())
        found = core.status
        assert found.started_at <= found.finished_at
