"""The command with its steps done by its first thread: ``python one_thread.py ARGUMENTS``.

strace(1) counts the system calls of each thread by themselves. Done by one thread, one after the other, they have one
number each, the same in every run. What needs a thread of its own (one that enters namespaces) begins to count where
no other comes.
"""

import concurrent.futures
import ctypes
import itertools
import sys
import threading

APART = 200
"""More calls than the first thread makes of those that ``tracing.APART`` names."""
_IN_ORDER = "namespace"
"""Threads of this name are started in the same order in each run; others as the clock has it."""


class OneThread:
    """An executor that has done what it is given before it returns."""

    def __init__(self, *_arguments, **_options):
        pass

    def submit(self, work, /, *arguments, **options):
        """What ``work`` came to."""
        future = concurrent.futures.Future()
        try:
            future.set_result(work(*arguments, **options))
        except BaseException as error:
            future.set_exception(error)
        return future

    def shutdown(self, *_arguments, **_options):
        """Nothing is under way."""

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        pass


def count_apart():
    """Have each thread that enters namespaces make calls that do nothing before it begins."""
    libc, numbers, plain = ctypes.CDLL(None), itertools.count(1), threading.Thread.start

    def start(self):
        run, number = self.run, next(numbers) if self.name == _IN_ORDER else 0

        def counted():
            for _ in range(number * APART):
                libc.sync_file_range(-1, ctypes.c_int64(0), ctypes.c_int64(0), 0)  # EBADF; nothing of ours calls it
            run()

        self.run = counted
        plain(self)

    threading.Thread.start = start


def main():
    count_apart()
    concurrent.futures.ThreadPoolExecutor = OneThread
    from bayplan.cli.main import main as command

    raise SystemExit(command(sys.argv[1:]))


if __name__ == "__main__":
    main()
