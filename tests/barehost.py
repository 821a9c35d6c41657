"""The image of a bare host that waits for Ansible: ``barehost.py [debian|ubuntu]`` prints its OCI layout.

Debian is the machine's own release, Ubuntu is 24.04. It has sshd, Python and apt, and file:// sources of packages of
its own, as a host behind a mirror has, one for each component of the archive; nothing that a runtime needs is there. It
is made when missing, and stays with the lab, which is a cache (`./run lab-down` removes it).
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

# What the role asks for, and all that it needs, each in the component that the archive has it in ...
_OFFERED = "ca-certificates crun conmon nftables aardvark-dns catatonit iproute2 python3 python3-venv"
_SORTED = (
    'set -e; for file in "$1"/var/cache/apt/archives/*.deb; do name=$(dpkg-deb --field "$file" Package); '
    'case $(chroot "$1" apt-cache show --no-all-versions "$name" | grep ^Filename:) in '
    "*/universe/*) part=universe ;; *) part=main ;; esac; "
    'mkdir -p "$1/srv/apt/$part"; mv "$file" "$1/srv/apt/$part/"; done'
)
# ... with an index of control paragraphs (deb-src(5), "flat").
_INDEXED = (
    'set -e; : > "$1/etc/apt/sources.list"; for part in "$1"/srv/apt/*; do cd "$part"; '
    'echo "deb [trusted=yes] file:/srv/apt/${part##*/} ./" >> "$1/etc/apt/sources.list"; '
    'for file in *.deb; do dpkg-deb --field "$file"; '
    'printf "Filename: ./%s\\nSize: %s\\nSHA256: %s\\n\\n" "$file" "$(stat -c %s "$file")" '
    '"$(sha256sum "$file" | cut -d" " -f1)"; done > Packages; done'
)
HOOKS = (
    f'chroot "$1" apt-get install -q -y --no-install-recommends --download-only {_OFFERED} >/dev/null',
    _SORTED,
    'rm -rf "$1"/etc/apt/sources.list.d/* "$1"/var/lib/apt/lists/* "$1"/etc/ssh/ssh_host_*',
    _INDEXED,
)
SUITES = {"debian": "", "ubuntu": "noble"}
_INSTALLED = ("apt", "openssh-server", "procps", "python3")


def layout(distribution: str) -> Path:
    """Where it is: its layer is not compressed, which would take longer than all else (image-layout.md of the OCI)."""
    command = ("/usr/sbin/sshd", "-D", "-e")
    recipe = Recipe("tests/barehost", ("latest",), _INSTALLED, command, HOOKS, SUITES[distribution])
    kept = LAB / f"barehost-{recipe.key()}"
    if kept.exists():
        return kept
    made = LAB / f"{kept.name}.new"
    blobs = made / "blobs/sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    layer = build(recipe, LAB)
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
        "config": {"Env": [PATH], "Cmd": list(recipe.command)},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    layers = [{"mediaType": f"{KIND}.layer.v1.tar", "digest": f"sha256:{digest}", "size": size}]
    manifest = put("manifest", {"schemaVersion": 2, "config": put("config", config), "layers": layers})
    manifest["annotations"] = {"org.opencontainers.image.ref.name": f"docker.io/{recipe.repository}:latest"}
    (made / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
    (made / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    made.rename(kept)
    return kept


if __name__ == "__main__":
    print(layout(*sys.argv[1:] or ["debian"]))
