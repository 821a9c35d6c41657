"""The one process of a core: what it lives through, and when it gives way."""

import fcntl
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from bayplan.errors import BusyError
from bayplan.models import Settings
from bayplan.runtime.native.state import Database
from bayplan.runtime.native.supervisor import daemon, unit
from bayplan.runtime.native.supervisor.loop import Supervisor
from bayplan.runtime.native.supervisor.place import Files, Place


@pytest.fixture
def place(tmp_path):
    settings = Settings(state_root=tmp_path / "state", run_root=tmp_path / "run", cgroup_parent="/bayplan-test-none")
    files = Files.of(settings)
    files.directory.mkdir(parents=True)
    files.settings.write_text(settings.model_dump_json())
    return Place.read(files.settings)


def test_a_record_that_is_busy_or_damaged_does_not_end_the_watch_over_all(place):
    said: list[str] = []
    os.mkfifo(Files.of(place).wake)
    database = Database(place.state_root / "state.db")
    with database.transaction():  # a supervisor is started when there is something to watch
        pass
    supervisor = Supervisor(place, database, said.append)
    try:
        database._connection.execute("PRAGMA busy_timeout = 10")
        other = sqlite3.connect(place.state_root / "state.db")
        other.execute("BEGIN EXCLUSIVE")

        def write():
            with database.transaction():
                raise AssertionError("it is held")

        with pytest.raises(BusyError):
            write()
        assert not supervisor.shared.tried(write)
        assert "held by another process" in said[-1]
        other.close()
        with (place.state_root / "state.db-wal").open("r+b") as file:
            file.truncate(0)
        for name in ("state.db", "state.db-wal", "state.db-shm"):
            (place.state_root / name).write_bytes(b"x" * 40_000)
        assert not supervisor.shared.tried(
            lambda: supervisor.shared.database.query("SELECT * FROM containers") and None
        )
        assert len(said) == 2
    finally:
        supervisor.close()
        database.close()


def test_a_second_one_gives_way_and_that_is_no_failure(place, monkeypatch, capfd):
    """As a unit it would be started again and again: systemd does so after failures only."""
    monkeypatch.setattr(daemon, "_LOCK_S", 0.0)
    lock = os.open(Files.of(place).lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        assert daemon.main(str(Files.of(place).settings), -1) == 0
    finally:
        os.close(lock)
    assert "another supervisor holds the lock" in capfd.readouterr().err
    assert unit._SETTINGS["Restart"] == "on-failure"


def test_what_it_starts_inherits_no_protection_from_it():
    """A container started again by a protected process would be spared when memory is short (proc(5))."""
    assert "OOMScoreAdjust" not in unit.text(Settings(state_root=Path("/var/lib/x"), run_root=Path("/run/x")))


def test_whoever_started_it_may_be_gone(place):
    """Fault row 1: killed while it waits for the supervisor, which still has to watch."""
    reader, writer = os.pipe()
    os.close(reader)
    code = (
        "import sys; from bayplan.runtime.native.supervisor import daemon, loop; loop._LINGER_S = 0.0;"
        "sys.exit(daemon.main(sys.argv[1], int(sys.argv[2])))"
    )
    argv = [sys.executable, "-c", code, str(Files.of(place).settings), str(writer)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, pass_fds=(writer,))
    os.close(writer)
    assert (done.returncode, "no container needs it" in done.stderr) == (0, True), done.stderr
