"""Names resolved inside a directory, also while others rename theirs."""

import multiprocessing
import os

from bayplan.system.beneath import open_in_root


def rename(place):
    (place / "one").mkdir()
    while True:
        (place / "one").rename(place / "two")
        (place / "two").rename(place / "one")


def test_a_rename_elsewhere_is_no_failure(tmp_path):
    """openat2(2), EAGAIN: the kernel cannot be sure of a ``..`` while any directory is renamed."""
    (tmp_path / "root/a").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    other = multiprocessing.get_context("fork").Process(target=rename, args=(tmp_path / "other",), daemon=True)
    other.start()
    root = os.open(tmp_path / "root", os.O_PATH)
    try:
        for _ in range(20_000):
            os.close(open_in_root(root, "a/../a/../a", os.O_PATH))
    finally:
        os.close(root)
        other.kill()
        other.join()
