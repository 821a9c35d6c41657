"""A machine in qemu (software emulation) with a disk and a kernel of its own, which Ansible manages over SSH."""

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from managed import Managed

BOOT_S = 600
MISSING = next((name for name in ("qemu-system-x86_64", "mmdebstrap", "mke2fs", "ssh") if not shutil.which(name)), None)


class Machine(Managed):
    """Its network is this process's own: one port of loopback leads to its sshd, and nothing leads out."""

    def __init__(self, directory):
        done = subprocess.run([sys.executable, Path(__file__).with_name("disk.py")], stdout=subprocess.PIPE, check=True)
        self.made = Path(done.stdout.decode().strip())
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        super().__init__(directory, "127.0.0.1", {}, self.port)
        (directory / "ssh_config").write_text(
            f"IdentityFile {self.made}/key\nIdentitiesOnly yes\nStrictHostKeyChecking no\n"
            "UserKnownHostsFile /dev/null\nLogLevel ERROR\n"
            "ConnectTimeout 60\nServerAliveInterval 15\nServerAliveCountMax 8\n"
        )
        self.console = directory / "console"
        self.process = None

    def __enter__(self):
        """Switched on; what it writes to its disk is gone when it is switched off."""
        argv = ["qemu-system-x86_64", "-nodefaults", "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max"]
        argv += ["-smp", "2", "-m", "2048", "-display", "none", "-serial", f"file:{self.console}", "-snapshot"]
        argv += ["-kernel", self.made / "vmlinuz", "-initrd", self.made / "initrd.img"]
        argv += ["-append", "root=/dev/vda rw console=ttyS0"]
        argv += ["-drive", f"file={self.made}/disk,format=raw,if=virtio"]
        argv += ["-netdev", f"user,id=wire,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:22"]
        argv += ["-device", "virtio-net-pci,netdev=wire"]
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
        try:
            self.await_boot("")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def reboot(self):
        """By its own init, and wait until it is up again."""
        before = self._booted()
        subprocess.run(["ssh", *self.login, "systemctl reboot"], stdin=subprocess.DEVNULL, check=False)
        self.await_boot(before)

    def await_boot(self, before):
        """Wait until it has another boot id than that, and all units of its start are done."""
        deadline = time.monotonic() + BOOT_S
        while self._booted() in ("", before):
            assert self.process.poll() is None, "qemu has ended"
            assert time.monotonic() < deadline, self.console.read_text(errors="replace")[-3000:]
            time.sleep(2)
        self.ssh("systemctl is-system-running --wait || systemctl --failed", timeout_s=BOOT_S)

    def _booted(self):
        """Its boot id (proc(5)); empty while it does not answer."""
        argv = ["ssh", *self.login, "cat /proc/sys/kernel/random/boot_id"]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        return done.stdout.strip()
