"""What a core can leave on a host.

Others use the machine at the same time, other runs of these tests included, so only things that carry the names of a
core this very test made are compared: its roots, its prefix of links, its nftables table, its cgroup parent.
"""

import os
from pathlib import Path

from bayplan.models import Settings
from bayplan.system import cgroups, nftables

DEFAULTS = Settings()


def leaks(made):
    """What is on the host under the names of one core, each item as a reader would look it up."""
    roots = [str(path) for path in (made.state_root, made.run_root)]
    found = [
        f"mount {line.split()[1]}" for line in Path("/proc/self/mounts").read_text().splitlines() if _below(line, roots)
    ]
    if made.interface_prefix != DEFAULTS.interface_prefix:
        links = [link.name for link in Path("/sys/class/net").iterdir()]
        found += [f"link {name}" for name in links if name.startswith(made.interface_prefix)]
    if made.nft_table != DEFAULTS.nft_table:
        tables = [item["table"]["name"] for item in nftables.listing("tables") if "table" in item]
        found += [f"nft table {name}" for name in tables if name == made.nft_table]
    if made.cgroup_parent != DEFAULTS.cgroup_parent:
        found += [f"process {item.pid} in {made.cgroup_parent}" for item in cgroups.members(made.cgroup_parent)]
    return found + [f"process {pid}: {text}" for pid, text in _processes(roots)]


def _below(line, roots):
    return any(root in line for root in roots)


def _processes(roots):
    """Processes, zombies not among them, whose command line names a root: conmon, crun, aardvark-dns."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                text = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if _below(text, roots):
                yield entry.name, text


def namespace_fds():
    """Namespaces that this process holds open; one is enough to keep every link in it alive."""
    held = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue
        if target.startswith(("net:[", "mnt:[")):
            held.add(f"open {target} as descriptor {entry.name}")
    return held
