"""Base images from Debian packages: one layer each, a tar that mmdebstrap writes, or static busybox."""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from dataclasses import asdict, dataclass
from pathlib import Path

MADE = 2  # raise it with every change of ``build``: images are then made anew
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Documentation and package lists are left out; they are half of a small image.
SLIM = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*", "/var/cache/apt/*")

# What the public image has, too: a page on port 80, and logs that go to the container's.
NGINX_SITE = "server { listen 80; location / { root /usr/share/nginx/html; index index.html; } }\n"

UBUNTU_KEYS = "usr/share/keyrings/ubuntu-archive-keyring.gpg"


@dataclass(frozen=True)
class Recipe:
    """What goes into an image, and the names it has in the registry. Without packages: static busybox."""

    repository: str
    tags: tuple[str, ...]
    packages: tuple[str, ...] = ()
    command: tuple[str, ...] = ("sh",)
    hooks: tuple[str, ...] = ()
    suite: str = ""
    """Of Ubuntu; of the machine's own release when empty, which is no part of the key, as it never was."""

    def key(self):
        """Changes when the recipe changes, or the way in which all are made."""
        told = {name: value for name, value in asdict(self).items() if name != "suite" or value}
        return hashlib.sha256(json.dumps([MADE, told]).encode()).hexdigest()[:12]


RECIPES = (
    Recipe("library/busybox", ("latest", "stable")),
    Recipe(
        "library/python",
        ("3-slim",),
        ("python3-minimal", "libpython3-stdlib"),
        ("python3",),
        ('ln -s /usr/bin/python3 "$1/usr/local/bin/python"',),
    ),
    Recipe("library/redis", ("7", "latest"), ("redis-server",), ("redis-server", "--protected-mode", "no")),
    Recipe(
        "library/nginx",
        ("stable", "latest"),
        ("nginx-light",),
        ("nginx", "-g", "daemon off;"),
        (
            'rm -f "$1"/etc/nginx/sites-enabled/* && mkdir -p "$1/var/log/nginx"',
            f"printf '%s' '{NGINX_SITE}' > \"$1/etc/nginx/conf.d/default.conf\"",
            'ln -sf /dev/stdout "$1/var/log/nginx/access.log" && ln -sf /dev/stderr "$1/var/log/nginx/error.log"',
        ),
    ),
)


def build(recipe, lab):
    """The image's layer as a tar file below ``lab``."""
    target = lab / f"{recipe.key()}.tar"
    if recipe.packages:
        _packages(recipe, target, lab)
    else:
        _busybox(target)
    return target


def _busybox(target):
    applets = subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True, check=True).stdout.split()
    with tarfile.open(target, "w") as tar:
        for name, mode in (("bin", 0o755), ("etc", 0o755), ("root", 0o700), ("tmp", 0o1777), ("var", 0o755)):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, mode
            tar.addfile(folder)
        tar.add(Path("/bin/busybox").resolve(), "bin/busybox")
        for name in applets:
            if name != "busybox":
                link = tarfile.TarInfo(f"bin/{name}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        for name, text in (("passwd", b"root:x:0:0:root:/root:/bin/sh\n"), ("group", b"root:x:0:\n")):
            entry = tarfile.TarInfo(f"etc/{name}")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))


def _packages(recipe, target, lab):
    argv = [
        "mmdebstrap",
        "--quiet",
        "--variant=essential",
        "--skip=output/dev",
        f"--include={','.join(recipe.packages)}",
    ]
    argv += [f"--aptopt={line}" for line in apt_options()]
    argv += [f"--dpkgopt=path-exclude={pattern}" for pattern in SLIM]
    argv += [f"--customize-hook={hook}" for hook in recipe.hooks]
    if recipe.suite:
        argv += [*ubuntu_options(lab), recipe.suite, str(target)]
    else:
        argv += [codename(), str(target), *sources()]
    subprocess.run(argv, check=True)


def codename():
    """That of the machine's own release."""
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    return release["VERSION_CODENAME"].strip('"')


def sources():
    """The machine's own package sources."""
    folder = Path("/etc/apt/sources.list.d")
    found = [Path("/etc/apt/sources.list"), *sorted(folder.glob("*.list")), *sorted(folder.glob("*.sources"))]
    return [str(path) for path in found if path.is_file() and path.stat().st_size]


def apt_options():
    """What the machine's apt was told about fetching (proxy, certificates), so that the image's apt fetches alike."""
    dump = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=True).stdout
    wanted = ("Acquire::Check-Valid-Until ", "Acquire::http", "Acquire::https", "Acquire::Retries ")
    return [line.rstrip() for line in dump.splitlines() if line.startswith(wanted) and not line.endswith('"";')]


def ubuntu_options(lab):
    """What mmdebstrap is told for a suite of Ubuntu; it knows the mirror, and the machine need not be Ubuntu."""
    return [f"--keyring={_ubuntu_keys(lab)}", "--components=main,universe"]


def _ubuntu_keys(lab):
    """Who signs Ubuntu's packages: the machine's file, else that of Debian's package, which stays below ``lab``."""
    own, kept = Path("/", UBUNTU_KEYS), lab / "ubuntu-keys"
    if own.exists():
        return own
    if not kept.exists():
        made = lab / "ubuntu-keys.new"
        shutil.rmtree(made, ignore_errors=True)
        # Debian 12 has no such package.
        argv = ["mmdebstrap", "--quiet", "--variant=extract", "--include=ubuntu-archive-keyring"]
        argv += [f"--aptopt={line}" for line in apt_options()]
        subprocess.run([*argv, "trixie", str(made)], check=True)
        made.rename(kept)
    return kept / UBUNTU_KEYS
