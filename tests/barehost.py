"""The image of a bare Debian host that waits for Ansible: ``barehost.py`` prints its OCI layout, made when missing.

It has sshd, Python and apt, and a file:// source of packages of its own, as a host behind a mirror has; nothing that a
runtime of containers needs is installed. It stays with the lab, which is a cache (`./run lab-down` removes it).
"""

import hashlib
import json
import platform
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "lab"))

from images import PATH, Recipe, build
from push import ARCHITECTURES, KIND

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


def layout() -> Path:
    """Where it is: its layer is not compressed, which would take longer than all else (image-layout.md of the OCI)."""
    kept = LAB / f"barehost-{RECIPE.key()}"
    if kept.exists():
        return kept
    made = LAB / f"{kept.name}.new"
    blobs = made / "blobs/sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    layer = build(RECIPE, LAB)
    with layer.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    size = layer.stat().st_size
    layer.rename(blobs / digest)

    def put(kind: str, value: dict) -> dict:
        data = json.dumps(value).encode()
        found = hashlib.sha256(data).hexdigest()
        (blobs / found).write_bytes(data)
        return {"mediaType": f"{KIND}.{kind}.v1+json", "digest": f"sha256:{found}", "size": len(data)}

    config = {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Env": [PATH], "Cmd": list(RECIPE.command)},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    layers = [{"mediaType": f"{KIND}.layer.v1.tar", "digest": f"sha256:{digest}", "size": size}]
    manifest = put("manifest", {"schemaVersion": 2, "config": put("config", config), "layers": layers})
    manifest["annotations"] = {"org.opencontainers.image.ref.name": f"docker.io/{RECIPE.repository}:latest"}
    (made / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
    (made / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    made.rename(kept)
    return kept


if __name__ == "__main__":
    print(layout())
