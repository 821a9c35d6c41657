"""Which system calls of a command change the host, and the command with one of them as its last: by strace(1).

Ours are the calls of the command's own threads, and of its child processes until they become another program: strace
lets go of those at their execve(2), as crun's and conmon's calls are theirs.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

FILES = "mkdir mkdirat rmdir rename renameat renameat2 unlink unlinkat link linkat symlink symlinkat mknod mknodat"
PARTS = "chmod fchmod fchmodat chown fchown lchown fchownat utimensat setxattr lsetxattr fsetxattr removexattr"
CONTENT = "write pwrite64 writev pwritev pwritev2 truncate ftruncate fallocate sendfile copy_file_range"
DURABLE = "fsync fdatasync syncfs"
MOUNTS = "mount umount2 move_mount mount_setattr pivot_root"
OTHERS = "sendto sendmsg kill tgkill pidfd_send_signal fork vfork"
NOTHING = "sync_file_range"
"""What ``one_thread.py`` makes where nothing is meant by it."""
CALLS = tuple(" ".join((FILES, PARTS, CONTENT, DURABLE, MOUNTS, OTHERS, NOTHING)).split())
APART = tuple(f"{MOUNTS} vfork unlink mkdir write {NOTHING}".split())
"""Those in which threads that enter namespaces count where no other comes (``one_thread.py``)."""
WRITES = frozenset(CONTENT.split())

_ONE_THREAD = Path(__file__).with_name("one_thread.py")
_CALL = re.compile(r"(\d+) +(\w+)\((.*)")
_READS_ONLY = re.compile(r"nlmsg_type=(\w+_GET|NFNL_SUBSYS_NFTABLES<<8\|NFT_MSG_GET|SOCK_DIAG)")
_FAILED = re.compile(r"\) += -1 E[A-Z0-9]+ ")
_OF_NO_HOST = re.compile(r"\d+<(/dev/|/memfd:|pipe:|anon_inode:|socket:|TCP|.*/said-|.*\.pyc)")


@dataclass(frozen=True)
class Point:
    """A call: the ``when``-th of ``calls`` that a thread of ours makes."""

    calls: tuple
    when: int
    name: str
    text: str

    def command(self, log, effect="signal=KILL"):
        """What runs the command's arguments and has the effect at this call; what was called goes to ``log``."""
        inject = f"inject={','.join(self.calls)}:{effect}:when={self.when}"
        return (*_strace(log), "-e", inject, sys.executable, str(_ONE_THREAD))


def counting(log):
    """What runs the command's arguments and writes all their calls down."""
    return (*_strace(log), sys.executable, str(_ONE_THREAD))


def _strace(log):
    return ("strace", "-f", "-b", "execve", "-qq", "-y", "-s", "64", "-o", str(log), "-e", f"trace={','.join(CALLS)}")


def points(log, wanted=CALLS):
    """The calls of a run that change the host, each with how it is met again; and how many there are besides.

    strace's ``when`` counts for each thread, and the first that comes so far is met. A call has its number among those
    of its own name, which few things move (how many pages SQLite writes differs from run to run), or else among those
    in ``APART`` or all; one of a later thread that has no number for itself cannot be met.
    """
    seen, reached, found, missed = {}, set(), [], 0
    for line in Path(log).read_text(errors="replace").splitlines():
        match = _CALL.match(line)
        if not match or match[2] not in CALLS:
            continue
        thread, name, text = match.groups()
        numbers = []
        for calls in ((name,), *((APART,) if name in APART else ()), CALLS):
            number = seen[thread, calls] = seen.get((thread, calls), 0) + 1
            if (calls, number) not in reached:
                reached.add((calls, number))
                numbers.append((calls, number))
        if name not in wanted or name == NOTHING or not _changes(name, text):
            continue
        if numbers:
            found.append(Point(*numbers[0], name, text))
        else:
            missed += 1
    return found, missed


def met(log):
    """The name of the call at which a thread was killed; None when none was."""
    last = {}
    for line in Path(log).read_text(errors="replace").splitlines():
        match = _CALL.match(line)
        if match:
            last[match[1]] = match[2]
        elif "+++ killed by SIGKILL" in line and line.split()[0] in last:
            return last[line.split()[0]]
    return None


def _changes(name, text):
    if _FAILED.search(text):
        return False
    if name in ("sendto", "sendmsg"):
        return not _READS_ONLY.search(text) and "<socket:" not in text[:16]
    if name in WRITES:
        return not _OF_NO_HOST.match(text)
    return "__pycache__" not in text
