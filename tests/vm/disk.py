"""The disk of a bare Ubuntu 24.04 with kernel and systemd: ``disk.py`` prints where it is, made when missing.

Beside the disk (ext4, the whole of it the root file system) lie the kernel, its first file system and the key of root.
As tests/barehost.py it has sshd, Python and package sources of its own, and nothing that a runtime of containers needs.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

from images import Recipe, build

from barehost import HOOKS, SUITES

VM = Path(os.environ.get("BAYPLAN_VM") or "/var/lib/bayplan-vm")
SIZE = "6G"  # a sparse file
_PACKAGES = ("apt", "apparmor", "ca-certificates", "dbus", "initramfs-tools", "iproute2", "kmod", "linux-image-virtual")
_PACKAGES += ("openssh-server", "procps", "python3", "systemd-resolved", "systemd-sysv", "udev", "zstd")
_ON = 'chroot "$1" systemctl --quiet enable systemd-networkd ssh'
# Each profile is compiled at its first boot, which takes minutes here; that of crun is what a host of containers has.
_PROFILES = 'find "$1/etc/apparmor.d" -maxdepth 1 -type f ! -name crun -delete'
RECIPE = Recipe("tests/machine", ("latest",), _PACKAGES, hooks=(*HOOKS, _ON, _PROFILES), suite=SUITES["ubuntu"])
FILES = {
    "etc/fstab": "/dev/vda / ext4 defaults 0 1\n",
    "etc/hostname": "one\n",
    "etc/systemd/network/20-wired.network": "[Match]\nName=en*\n[Network]\nAddress=10.0.2.15/24\nIPv6AcceptRA=no\n",
}


def disk() -> Path:
    """Where it is."""
    kept = VM / f"ubuntu-{hashlib.sha256(repr([RECIPE.key(), SIZE, FILES]).encode()).hexdigest()[:12]}"
    if kept.exists():
        return kept
    made = VM / f"{kept.name}.new"
    shutil.rmtree(made, ignore_errors=True)
    root = made / "root"
    root.mkdir(parents=True)
    layer = build(RECIPE, VM)
    _run("tar", "-C", root, "--numeric-owner", "-xf", layer)
    layer.unlink()
    for name in ("vmlinuz", "initrd.img"):
        shutil.copyfile(root / "boot" / name, made / name)
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", made / "key")
    (root / "dev").mkdir(exist_ok=True)  # the layer has none
    for name, text in FILES.items():
        (root / name).write_text(text)
    (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    shutil.copyfile(made / "key.pub", root / "root/.ssh/authorized_keys")
    _run("ssh-keygen", "-A", "-f", root)
    _run("mke2fs", "-q", "-t", "ext4", "-d", root, made / "disk", SIZE)
    shutil.rmtree(root)
    made.rename(kept)
    return kept


def _run(*argv: object) -> None:
    subprocess.run([str(word) for word in argv], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    print(disk())
