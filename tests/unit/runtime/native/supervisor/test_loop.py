"""What goes wrong with one container, or in one system call, is tried again and costs no other its watch."""

import errno
import json
import os
import subprocess
import sys

import pytest

from bayplan.models import Settings
from bayplan.runtime.native.state import Database
from bayplan.runtime.native.supervisor import helper as helper_module
from bayplan.runtime.native.supervisor import loop, rotating
from bayplan.runtime.native.supervisor.check import RunningCheck
from bayplan.runtime.native.supervisor.helper import Helper
from bayplan.runtime.native.supervisor.place import Files, Place
from bayplan.runtime.native.supervisor.watch import NEVER
from bayplan.system.processes import Process, boot_id

_ROW = (
    "INSERT INTO containers (id, name, project, service, declared, image_digest, phase, created_at, wanted, boot_id,"
    " pid, pid_start, started_at) VALUES (?, ?, 'p', 's', ?, '', 'created', '', 'running', ?, ?, ?, '')"
)


@pytest.fixture
def supervisor(tmp_path):
    settings = Settings(state_root=tmp_path / "state", run_root=tmp_path / "run", cgroup_parent="/bayplan-test-none")
    files = Files.of(settings)
    files.directory.mkdir(parents=True)
    files.settings.write_text(settings.model_dump_json())
    os.mkfifo(files.wake)
    database = Database(settings.state_root / "state.db")
    with database.transaction():  # a supervisor is started when there is something to watch
        pass
    made = loop.Supervisor(Place.read(files.settings), database, lambda _: None)
    yield made
    made.close()
    database.close()


@pytest.fixture
def sleeping():
    child = subprocess.Popen(["sleep", "60"])
    yield Process.of(child.pid)
    child.kill()
    child.wait()


def record(supervisor, process, *names, **declared):
    with supervisor.shared.database.transaction() as tx:
        for name in names:
            tx.execute(_ROW, (name, name, json.dumps(declared), boot_id(), process.pid, process.start))


RESTARTS = {"restart": {"condition": "always"}}


def test_one_that_could_not_be_watched_is_watched_at_the_next_look(supervisor, sleeping, monkeypatch):
    record(supervisor, sleeping, "a", "b", **RESTARTS)
    faults = [OSError(errno.EMFILE, "too many open files")]
    opened = os.pidfd_open

    def pidfd_open(pid):
        if faults:
            raise faults.pop()
        return opened(pid)

    monkeypatch.setattr(os, "pidfd_open", pidfd_open)
    supervisor._look()
    assert set(supervisor.shared.watches) == {"b"}
    supervisor._look()
    assert set(supervisor.shared.watches) == {"a", "b"}
    assert all(watch.pidfd >= 0 for watch in supervisor.shared.watches.values())


def test_an_end_is_followed_by_a_restart_whatever_goes_wrong_beside_it(supervisor, sleeping, monkeypatch):
    record(supervisor, sleeping, "a", **RESTARTS)
    supervisor._look()
    watch = supervisor.shared.watches["a"]

    def balance(_):
        raise OSError(errno.ENOMEM, "no memory")

    monkeypatch.setattr(supervisor, "_balance", balance)
    assert not supervisor.shared.tried(lambda: supervisor._ended(watch))
    assert watch.act_at < NEVER


def test_a_log_that_cannot_be_cut_keeps_no_other_from_being_cut(supervisor, sleeping, monkeypatch):
    record(supervisor, sleeping, "a", "b", logging={"driver": "k8s-file", "max_size": 10})
    supervisor._look()
    cut = []

    def rotate(log, *_, **__):
        cut.append(log)
        if len(cut) == 1:
            raise OSError(errno.EIO, "the disk is broken")
        return False

    monkeypatch.setattr(rotating, "rotate", rotate)
    supervisor.rotating.cut()
    assert len(cut) == 2
    assert supervisor.rotating.due < NEVER


def test_a_helper_that_takes_no_more_requests_says_so(tmp_path, monkeypatch):
    """A request that is lost in a full pipe would be waited for for ever."""
    deaf = tmp_path / "deaf"
    deaf.write_text("#!/bin/sh\nexec sleep 60\n")
    deaf.chmod(0o755)
    monkeypatch.setattr(helper_module.sys, "executable", str(deaf))
    helper = Helper(tmp_path / "settings.json")
    try:
        taken = [number for number in range(5000) if helper.ask((f"{number:064}", 1, 1))]
        assert 100 < len(taken) < 5000
        assert len(helper.asked) == len(taken)
    finally:
        helper._child.kill()
        helper.close()


def test_a_check_that_writes_without_end_is_read_piece_by_piece():
    check = RunningCheck.__new__(RunningCheck)
    check.output = b""
    check.output_fd, writer = os.pipe()
    try:
        os.set_blocking(check.output_fd, False)
        size = 1 << 20
        subprocess.run([sys.executable, "-c", f"import fcntl; fcntl.fcntl(1, 1031, {size})"], stdout=writer, check=True)
        os.write(writer, b"x" * size)
        assert check.read()
        assert check.output == b"x" * 4096
        os.set_blocking(writer, False)
        assert os.write(writer, b"y" * 65536) == 65536  # no more than that was taken
        with pytest.raises(BlockingIOError):
            os.write(writer, b"y" * 65536)
    finally:
        os.close(check.output_fd)
        os.close(writer)
