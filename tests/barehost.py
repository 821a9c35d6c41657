"""The image of a bare Debian host that waits for Ansible: ``barehost.py`` prints its tar, made when it is missing.

It has sshd, Python and apt, and a file:// source of packages of its own, as a host behind a mirror has; nothing that a
runtime of containers needs is installed. The tar stays with the lab, which is a cache (`./run lab-down` removes it).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "lab"))

from images import Recipe, build

from lab import LAB

# What the role asks for, and all that it needs; each control paragraph goes into an index (deb-src(5), "flat").
_OFFERED = "ca-certificates crun conmon nftables aardvark-dns catatonit iproute2 python3 python3-venv"
_INDEX = (
    'set -e; cd "$1/srv/apt"; for file in *.deb; do dpkg-deb --field "$file"; '
    'set -- "$file" "$(stat -c %s "$file")" $(sha256sum "$file"); '
    r'printf "Filename: ./%s\nSize: %s\nSHA256: %s\n\n" "$1" "$2" "$3"; done > Packages'
)
RECIPE = Recipe(
    "tests/barehost",
    ("latest",),
    ("apt", "openssh-server", "procps", "python3"),
    ("/usr/sbin/sshd", "-D", "-e"),
    (
        f'chroot "$1" apt-get install -q -y --no-install-recommends --download-only {_OFFERED} >/dev/null',
        'mkdir -p "$1/srv/apt" && mv "$1"/var/cache/apt/archives/*.deb "$1/srv/apt/"',
        _INDEX,
        'rm -rf "$1"/etc/apt/sources.list.d/* "$1"/var/lib/apt/lists/* "$1"/etc/ssh/ssh_host_*',
        'echo "deb [trusted=yes] file:/srv/apt ./" > "$1/etc/apt/sources.list"',
    ),
)


def tar() -> Path:
    """Where it is."""
    kept = LAB / f"barehost-{RECIPE.key()}.tar"
    if not kept.exists():
        LAB.mkdir(parents=True, exist_ok=True)
        build(RECIPE, LAB).rename(kept)
    return kept


if __name__ == "__main__":
    print(tar())
