# Copyright: the Bayplan contributors. Apache-2.0
"""Find the target's bridge and become it. Also run as a program of its own: ``python3 -c TEXT [COMMAND]``.

Standard library only, and of it little: the program runs once a task, by whatever Python the target has.
"""

from __future__ import annotations

import os
import sys

INSTALLED = "/opt/bayplan/bin/bayplan"
BEGUN = "#bayplan#"
ABSENT = '{"bayplan": "absent"}'
MODULE = ["-P", "-m", "bayplan.bridge"]
STAYS = "BAYPLAN_BRIDGE_STAYS"
STAYS_S = "30"
PATIENCE_S = 5  # with one that stayed and does not answer: it may be stopped, or frozen with its control group
# Of the environment, what counts when Python or a library starts; of /proc/self/status, who one is and what one may.
STARTS = ("PYTHON", "PYDANTIC_", "LD_", "LC_", "LANG", "TZ", "HOME", "GLIBC_", "MALLOC_", "OPENSSL_", STAYS)
STATUS = ("Umask", "Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "Cap", "Cpus_", "Mems_", "SigBlk", "SigIgn")


def argv_of(command: str) -> list[str]:
    """The bridge of a command: by the interpreter of its virtual environment, which starts sooner, else by its verb.

    ``-P`` keeps the directory the module happens to run in off the import path.
    """
    folder = os.path.dirname(os.path.realpath(which(command) or command))  # noqa: PTH120 - pathlib takes 10 ms
    python = os.path.join(folder, "python")  # noqa: PTH118
    if os.path.isfile(os.path.join(folder, "..", "pyvenv.cfg")) and os.access(python, os.X_OK):  # noqa: PTH113, PTH118
        return [python, *MODULE]
    return [command, "bridge"]


def which(command: str) -> str | None:
    """Its path, as ``shutil.which`` finds it: to import that takes 8 ms."""
    folders = [""] if "/" in command else os.environ.get("PATH", os.defpath).split(":")
    paths = [os.path.join(folder, command) for folder in folders]  # noqa: PTH118
    return next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), None)  # noqa: PTH113


def find(named: str | None) -> list[str]:
    """The argv of the bridge: the option, BAYPLAN_COMMAND, this interpreter's package, /opt/bayplan, PATH; or none."""
    named = named or os.environ.get("BAYPLAN_COMMAND")
    if named:
        return argv_of(named)
    if any(finder.find_spec("bayplan", None) for finder in sys.meta_path):
        return [sys.executable, *MODULE]
    if os.access(INSTALLED, os.X_OK):
        return argv_of(INSTALLED)
    return argv_of("bayplan") if which("bayplan") else []


def circumstances(argv: list[str]) -> bytes:
    """Who asks and from where, as a text: one bridge stays for all who are the same in that."""
    with open("/proc/self/status", "rb") as status:  # noqa: PTH123
        found = [line for line in status.read().splitlines() if line.startswith(tuple(map(str.encode, STATUS)))]
    for name in ("limits", "loginuid", "oom_score_adj", "cgroup", "attr/current"):
        try:
            with open(f"/proc/self/{name}", "rb") as part:  # noqa: PTH123
                found.append(part.read())
        except OSError:
            found.append(b"")  # this kernel has none, or says none
    found += [os.fsencode(os.readlink(f"/proc/self/ns/{name}")) for name in sorted(os.listdir("/proc/self/ns"))]  # noqa: PTH115, PTH208
    top = os.stat("/")  # noqa: PTH116
    found.append(repr((argv, top.st_dev, top.st_ino, os.sched_getscheduler(0), os.getpriority(0, 0))).encode())
    starts = tuple(map(str.encode, STARTS))
    found += [b"%s=%s" % item for item in sorted(os.environb.items()) if item[0].startswith(starts)]
    return b"\n".join(found)


def socket_of(argv: list[str]) -> str:
    """Where such a bridge listens, in a directory of this user alone; empty where there is none."""
    from _blake2 import blake2s

    root = "/run" if os.geteuid() == 0 else os.environ.get("XDG_RUNTIME_DIR", "")
    folder = f"{root}/bayplan-bridges"
    if not root:
        return ""
    try:  # noqa: SIM105 - contextlib takes 3 ms
        os.mkdir(folder, 0o700)  # noqa: PTH102
    except FileExistsError:
        pass
    there = os.lstat(folder)
    if there.st_uid != os.geteuid() or there.st_mode & 0o170077 != 0o040000:
        return ""
    return f"{folder}/{blake2s(circumstances(argv), digest_size=12).hexdigest()}"


def answered(path: str) -> int | None:
    """The exit code of a request that the bridge at this socket took; None when there is none that takes it."""
    import _socket
    import struct

    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    descriptors = [0, 1, 2, os.open(".", os.O_PATH), os.open("/proc/self/ns/mnt", os.O_RDONLY)]
    begun, said = False, b""
    connection.settimeout(PATIENCE_S)
    try:
        connection.connect(path)
        peer = struct.unpack("3i", connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12))
        if peer[1] != os.geteuid() or connection.recv(1) != b"?":
            return None
        environment = b"\0".join(b"%s=%s" % item for item in os.environb.items())
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack(f"{len(descriptors)}i", *descriptors))]
        connection.sendmsg([struct.pack("=I", len(environment))], rights)
        connection.sendall(environment)
        connection.settimeout(None)
        begun = connection.recv(1) == b"+"
        while begun:
            more = connection.recv(16)
            if not more:
                return int(said or 137)  # no code: it was killed
            said += more
    except OSError:
        return 137 if begun else None
    finally:
        for descriptor in descriptors[3:]:
            os.close(descriptor)
    return None


def staying(argv: list[str]) -> list[str]:
    """End with the answer of a bridge that stayed; else the arguments for one to stay after it was started."""
    seconds = os.environ.get(STAYS, STAYS_S)
    if argv[1:] != MODULE or not seconds.isdigit() or not int(seconds):
        return []
    try:
        path = socket_of(argv)
        code = answered(path) if path else None
    except (ImportError, OSError):
        return []  # no such system, or none of its directories
    if code is not None:
        os._exit(code)
    return ["--stay", path, seconds] if path else []


def main() -> None:
    """Say that the bridge begins, and become it; say so when there is none."""
    sys.path[:] = [item for item in sys.path if item]  # with -c the working directory comes first
    argv = find(" ".join(sys.argv[1:]))
    if not argv:
        sys.stdout.write(ABSENT)
        return
    sys.stdout.write(f"{BEGUN}\n")
    sys.stdout.flush()
    argv += staying(argv)
    if argv[:2] == [sys.executable, "-P"]:
        from runpy import run_module

        sys.argv[1:] = argv[len(MODULE) + 1 :]
        run_module("bayplan.bridge", run_name="__main__")
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - no shell is wanted
    except OSError:
        sys.stdout.write(ABSENT)


if __name__ == "__main__":
    main()
