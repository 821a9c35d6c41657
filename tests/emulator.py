"""Another processor's programs on this host: Debian's emulator, registered for a test alone, and a static busybox.

The kernel has one list of interpreters for all (binfmt_misc), so an entry has a name of its own and goes with the test;
it is mounted in a mount namespace of its own only.
"""

import os
import secrets
import subprocess
import tarfile
import tempfile
from contextlib import contextmanager
from pathlib import Path

from lab.images import apt_options, codename, sources

LAB = Path(os.environ.get("BAYPLAN_LAB") or "/var/lib/bayplan-lab")
ENTRY = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")
LIST = "/proc/sys/fs/binfmt_misc"


def usable():
    """Whether the emulator for arm64 is here, and the kernel takes interpreters."""
    return ENTRY.exists() and "binfmt_misc" in Path("/proc/filesystems").read_text()


class Place:
    """A mount namespace where the list of interpreters is seen. Since Linux 6.7 the list lives as long as a mount."""

    def __init__(self, entries=()):
        script = f"mount -t binfmt_misc binfmt_misc {LIST} && echo && exec cat"
        argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
        self._holder = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._holder.stdout.readline()
        self._entries = entries
        for name, entry in entries:
            self._write(f":{name}:{entry}", "register")

    def command(self, *command):
        """The same command in here."""
        return ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", f"--wd={Path.cwd()}", *map(str, command)]

    def close(self):
        for name, _ in self._entries:
            self._write("-1", name)
        self._holder.communicate()

    def _write(self, text, name):
        script = 'printf %s "$1" > "$2"'
        subprocess.run(self.command("sh", "-c", script, "sh", text, f"{LIST}/{name}"), check=True)


@contextmanager
def place(flags=None):
    """Where the emulator is registered, with these flags instead of its package's; without flags where it is not."""
    fields = ENTRY.read_text().strip().split(":")[2:-1]
    name = f"bayplan-test-{secrets.token_hex(4)}"
    made = Place([(name, ":".join([*fields, flags]))] if flags else ())
    try:
        yield made
    finally:
        made.close()


def busybox(architecture="arm64"):
    """Debian's static busybox for another architecture, kept in the lab; None where no package source answers."""
    LAB.mkdir(parents=True, exist_ok=True)
    program = LAB / f"busybox-{architecture}"
    if program.exists():
        return program
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "busybox.tar")
        argv = ["mmdebstrap", "--quiet", "--variant=extract", f"--architectures={architecture}"]
        argv += ["--include=busybox-static", *(f"--aptopt={line}" for line in apt_options())]
        done = subprocess.run([*argv, codename(), str(target), *sources()], check=False, stderr=subprocess.DEVNULL)
        if done.returncode:
            return None
        with tarfile.open(target) as tar:
            name = next(item for item in tar.getnames() if item.endswith("bin/busybox"))
            part = program.with_suffix(f".{secrets.token_hex(4)}")
            part.write_bytes(tar.extractfile(name).read())
            part.rename(program)
    return program
