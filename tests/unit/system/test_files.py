import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from bayplan.errors import BusyError
from bayplan.system import files
from bayplan.system.files import atomic_write, create_once, locked


def test_atomic_write_replaces_whole_with_mode(tmp_path):
    """Fault row 5."""
    path = tmp_path / "f"
    atomic_write(path, b"one")
    atomic_write(path, b"two", mode=0o644)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o644
    assert [item.name for item in tmp_path.iterdir()] == ["f"]


def test_of_several_makers_of_a_file_all_get_what_the_first_wrote(tmp_path):
    """Each of two containers made at the same time had its secrets sealed with a key of its own."""
    together = Barrier(8)

    def make(number):
        together.wait()
        return create_once(tmp_path / "key", bytes([number]) * 32)

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(make, range(8)))
    assert found == {(tmp_path / "key").read_bytes()}
    assert create_once(tmp_path / "key", b"later") in found
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert [item.name for item in tmp_path.iterdir()] == ["key"]


def test_a_lock_that_is_let_go_names_nobody_and_a_broken_disk_does_not_undo_what_was_done(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    with files.locked(path, "apply of shop"):
        assert path.stat().st_size > 0
    assert path.read_bytes() == b""

    def broken(*_):
        raise OSError(errno.EIO, "Input/output error")

    with files.locked(path, "apply of shop"):
        monkeypatch.setattr(os, "ftruncate", broken)
    monkeypatch.undo()
    with files.locked(path, "x", timeout_s=0):
        pass


def test_the_lock_names_its_holder_and_dies_with_it(tmp_path):
    """Fault row 4."""
    program = (
        "import sys, time; from pathlib import Path; from bayplan.system.files import locked\n"
        "with locked(Path(sys.argv[1]), 'apply of shop'):\n    print('held', flush=True); time.sleep(60)"
    )
    path = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    assert files.holder(path) == f"process {holder.pid}, apply of shop"
    with pytest.raises(BusyError, match=rf"{holder.pid}.*apply of shop"), locked(path, "x", timeout_s=0.05):
        pass
    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert files.holder(path) == ""
    with locked(path, "x", timeout_s=1):
        pass
