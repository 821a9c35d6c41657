"""Several waits at once, of which the first that fails ends the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

from bayplan.errors import StoppedError

T = TypeVar("T")


def all_of(wanted: Sequence[T], wait: Callable[[T, Callable[[], bool]], None], stopped: Callable[[], bool]) -> None:
    """Wait for all of them at the same time; ``wait`` is given one and whether it is to be given up.

    Raises the first failure as soon as it is there, StoppedError when ``stopped`` says so.
    """
    if len(wanted) < 2:
        for one in wanted:
            wait(one, stopped)
        return
    failed = threading.Event()
    first: BaseException | None = None
    with ThreadPoolExecutor(max_workers=len(wanted), thread_name_prefix="wait") as pool:
        waits = [pool.submit(wait, one, lambda: stopped() or failed.is_set()) for one in wanted]
        for ended in as_completed(waits):
            error = ended.exception()
            # Those that were given up for it say StoppedError; so do all when the apply is told to stop.
            if error is not None and (first is None or (isinstance(first, StoppedError) and not failed.is_set())):
                first = error
                if not isinstance(error, StoppedError):
                    failed.set()
    if first is not None:
        raise first
