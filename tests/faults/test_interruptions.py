"""Rows 1 to 5, 9, 17, 21, 32: somebody is killed, two want the host at once, a process will not end."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from bayplan.models import Container
from bayplan.runtime.native.containers import lifecycle
from bayplan.runtime.native.containers.oci import OciRuntime
from bayplan.runtime.native.containers.paths import Paths
from bayplan.runtime.native.runtime import NativeRuntime
from bayplan.runtime.protocol import State
from bayplan.system.processes import Process, find_by_argument
from faults.core import ask

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
HOLDER = """
import sys, time
from pathlib import Path
from bayplan.system.files import locked
with locked(Path(sys.argv[1]), "a change"):
    print("held", flush=True)
    time.sleep(600)
"""
# The runtime as a program that dies where a real one can: after the container is created, before it is started.
DYING = """#!/bin/sh
case "$*" in *" start "*) [ -e {flag} ] || {{ touch {flag}; kill -9 $$; }} ;; esac
exec crun "$@"
"""


def ids(core):
    return {name: item["id"] for name, item in core.status().items() if item["kind"] == "container"}


def test_the_monitor_killed_stop_and_removal_still_work(up):
    """Fault row 2."""
    (monitor,) = find_by_argument(f"--cid={ids(up)['shop-web-1']}")
    monitor.send(signal.SIGKILL)
    assert monitor.wait(5)
    assert up.status()["shop-web-1"]["state"] == "running"
    up.call("destroy")


def test_the_runtime_killed_between_create_and_start(core, tmp_path):
    """Fault row 3."""
    program = tmp_path / "crun-that-dies"
    program.write_text(DYING.format(flag=tmp_path / "died"))
    program.chmod(0o755)
    core.call("apply", code=1, BAYPLAN_OCI_RUNTIME=str(program), BAYPLAN_WORKERS="1")
    assert (tmp_path / "died").exists()
    core.call("apply")
    assert ask(int(core.variables["PORT"])) == b"hello\n"


def test_a_runtime_that_outlived_its_apply_is_ended_by_the_next_start(up):
    """Fault row 3: it is in no cgroup of ours and no child of a monitor: only its command line tells whose it is."""
    made = ids(up)["shop-web-1"]
    argv = [sys.executable, "-c", "import time; time.sleep(600)", str(up.settings.run_root / "oci"), made]
    with subprocess.Popen(argv) as orphan:
        try:
            lifecycle.clear(OciRuntime(up.settings), made, Paths.of(up.settings, made))
            assert orphan.wait(5) == -signal.SIGKILL
        finally:
            orphan.kill()
    up.call("apply")


def test_a_killed_holder_frees_the_host(core):
    """Fault row 4."""
    lock = core.settings.lock_file
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout.readline() == b"held\n"
            said = core.call("apply", "--lock-timeout", "100ms", code=3)
            assert f"another change holds this host: process {holder.pid}, " in said
        finally:
            holder.kill()
    core.call("apply", "--lock-timeout", "100ms")


def test_two_applies_at_once_both_come_to_the_same_end(core):
    """Fault row 17."""
    both = [core.start("apply", "--json") for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0], [process.output.read_text() for process in both]
    assert core.call("apply", "--json")["changed"] is False
    assert ask(int(core.variables["PORT"])) == b"hello\n"


def test_a_reused_pid_is_a_stranger(up):
    """Fault row 9."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as stranger:
        try:
            runtime = NativeRuntime(up.settings)
            try:
                made = runtime.containers.find("shop-web-1")
                runtime.containers.records.set(made, pid=stranger.pid)
                assert runtime.containers.status(made).state is not State.RUNNING
                runtime.stop("shop-web-1")
                runtime.start("shop-web-1")
            finally:
                runtime.close()
            assert stranger.poll() is None
        finally:
            stranger.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_between_steps_and_the_rerun_goes_on(core, number):
    """Fault row 21."""
    text = core.file.read_text()
    # A store that never gets healthy: the apply waits for it, with two steps still to come.
    core.file.write_text(
        text.replace("[CMD, cat, /data/up], interval: 50ms, retries: 100", "[CMD, cat, /no], retries: 9")
    )
    process = core.start("apply", "--json")
    end = time.monotonic() + 60
    while core.status().get("shop-store-1", {}).get("state") != "running":
        assert time.monotonic() < end
    time.sleep(0.3)
    process.send_signal(number)
    assert process.wait(60) == 130
    said = process.output.read_text()
    assert '"stopped": true' in said
    assert '"container shop-api-1"' in said.partition('"skipped"')[2]
    assert set(ids(core)) == {"shop-store-1"}
    core.file.write_text(text)
    core.call("apply")
    assert ask(int(core.variables["PORT"])) == b"hello\n"


def test_a_first_process_that_ignores_the_signal_is_killed_after_the_grace(core):
    """Fault row 32."""
    core.file.write_text(core.file.read_text().replace("exec sleep 600", "trap : TERM INT; while :; do sleep 1; done"))
    core.call("apply")
    pid = core.pids()["shop-web-1"]
    process = Process.of(pid)
    core.call("destroy")
    assert not process.alive


def test_real_time_stop_signals_are_known(up):
    """systemd's images stop by SIGRTMIN+3."""
    runtime = NativeRuntime(up.settings)
    try:
        made = runtime.containers.find("shop-web-1")
        declared = runtime.containers.declared(made)
        runtime.containers.update(
            made, Container.model_validate({**declared.model_dump(), "stop_signal": "SIGRTMIN+3"})
        )
        runtime.stop("shop-web-1")
        # 128 and the signal's number: it died of that, not of SIGKILL.
        assert runtime.containers.status(made).exit_code in (128 + signal.SIGRTMIN + 3, 128 + signal.SIGKILL)
    finally:
        runtime.close()


def test_observing_beside_a_change_never_fails(core):
    """Reading needs no lock: it may meet any half-way state of an apply."""
    failures = []
    over = threading.Event()

    def watch():
        while not over.is_set():
            try:
                core.status()
            except AssertionError as error:
                failures.append(str(error))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        core.call("apply")
        core.call("apply", GREETING="bonjour")
        core.call("destroy")
    finally:
        over.set()
        watcher.join()
    assert failures == []
