"""The command, killed at its N-th change of the host: ``python points.py N OUTPUT ARGUMENTS``.

Every change is a point twice: just before and just after it is made. Python's own audit events tell of file changes
and programs (PEP 578); the calls that go by ctypes, netlink and SQLite are wrapped. ``N`` 0 kills never; the number of
points then stands in the file ``OUTPUT``. With one worker the order is the same in each run.
"""

import os
import signal
import sys
import threading
from pathlib import Path

EVENTS = frozenset(
    {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate", "subprocess.Popen"}
)
PROCESS_WIDE = ("/proc/", "/dev/")


class Points:
    """Counts, and kills the process at one of them."""

    def __init__(self, number):
        self.number, self.count, self.on = number, 0, False
        self.lock = threading.Lock()

    def hit(self):
        if not self.on:
            return
        with self.lock:
            self.count += 1
            if self.count == self.number:
                os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, event, arguments):
        if event in EVENTS and not str(arguments[0]).startswith(PROCESS_WIDE):
            self.hit()

    def wrap(self, owner, name):
        plain = getattr(owner, name)

        def counted(*arguments, **options):
            self.hit()
            result = plain(*arguments, **options)
            self.hit()
            return result

        setattr(owner, name, counted)


def install(points):
    """Put a point around everything that changes the host."""
    from pyroute2.iproute.linux import IPRoute

    from bayplan.runtime.native.state.database import Database
    from bayplan.system import mounts, nftables

    for name in ("mount", "unmount", "mount_overlay"):
        points.wrap(mounts, name)
    points.wrap(nftables, "run")
    made = IPRoute.__init__

    def init(self, *arguments, **options):
        made(self, *arguments, **options)
        for name in ("link", "addr", "route", "brport"):
            points.wrap(self, name)

    IPRoute.__init__ = init
    plain = Database.transaction

    def transaction(self):
        points.hit()
        return _After(plain(self), points)

    Database.transaction = transaction
    sys.addaudithook(points.audit)


class _After:
    """A context manager with a point before its end and one after it."""

    def __init__(self, inner, points):
        self.inner, self.points = inner, points

    def __enter__(self):
        return self.inner.__enter__()

    def __exit__(self, *error):
        self.points.hit()
        result = self.inner.__exit__(*error)
        self.points.hit()
        return result


def main():
    from bayplan.cli.main import main as command

    points = Points(int(sys.argv[1]))
    install(points)
    points.on = True
    try:
        code = command(sys.argv[3:])
    finally:
        points.on = False
        Path(sys.argv[2]).write_text(str(points.count))
    raise SystemExit(code)


if __name__ == "__main__":
    main()
