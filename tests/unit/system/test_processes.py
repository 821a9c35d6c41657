"""Processes that are waited for and signalled, and those that must not be."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bayplan.system.processes import Process, boot_id


def test_waiting_longer_than_poll_can(tmp_path):
    """poll(2) takes at most 24 days; a grace period may be longer."""
    with subprocess.Popen(["sleep", "0.1"]) as child:
        process = Process.of(child.pid)
        assert process
        assert process.wait(3e9)


def test_a_pid_that_has_become_a_thread_s_is_nobody(tmp_path):
    """Fault row 9: pids of ended processes are given to threads too, which no pidfd can name."""
    told, ended = [], threading.Event()

    def body():
        told.append(threading.get_native_id())
        ended.wait(20)

    thread = threading.Thread(target=body)
    thread.start()
    try:
        while not told:
            pass
        for process in (Process(told[0], 1), Process.of(told[0])):
            assert process
            assert not process.send(0)
            assert process.wait(0)
    finally:
        ended.set()
        thread.join()


def test_another_start_time_is_another_process():
    """Fault row 9."""
    mine = Process.of(os.getpid())
    assert mine
    stranger = Process(mine.pid, mine.start - 1)
    assert not stranger.alive
    assert not stranger.send(9)
    assert stranger.wait(0)


@pytest.mark.host
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_each_start_of_a_host_that_is_a_container_is_a_boot():
    program = "from bayplan.system.processes import boot_id; print(boot_id())"
    # A clock tick apart at least: that is how finely the kernel tells when a process began.
    twice = f"{sys.executable} -c '{program}'; sleep 0.02; {sys.executable} -c '{program}'"
    argv = ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", twice]
    first, second = (subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split() for _ in range(2))
    assert len(set(first)) == len(set(second)) == 1
    assert first[0] != second[0]
    assert boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
