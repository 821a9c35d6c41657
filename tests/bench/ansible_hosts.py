"""Many hosts at once: ``ansible_hosts.py [--hosts N] [--forks N] [--runs N]``.

Each host is a network namespace of this machine with an sshd and a core of its own (50). In turn: the play of an empty
task (``ansible.builtin.ping``), of one that runs nothing but a shell (``raw``), and of an unchanged ``up`` (``stack``
of one service), with connections that are open already. Needs root. No bar is asserted.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

from timed_plays import Plays, verdict

from busybox import add_busybox
from sshd import SSHD

ROOT = Path("/var/lib/bayplan-bench/hosts")
BRIDGE, NETWORK = "bpbench", "10.219"
SERVICE = {"image": "lab/busybox", "command": ["sleep", "3600"], "stop_grace_period": "0s"}


def call(*argv):
    """A command that must succeed."""
    subprocess.run([str(item) for item in argv], check=True, stdin=subprocess.DEVNULL)


@contextmanager
def hosts(count, folder):
    """Name to variables of hosts, each reached by ssh."""
    for name in ("host", "user"):
        call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name)
    (folder / "sshd_config").write_text(
        f"Port 22\nListenAddress 0.0.0.0\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n"
        "PermitRootLogin prohibit-password\nStrictModes no\nUsePAM no\nPidFile none\n"
    )
    key = " ".join((folder / "host.pub").read_text().split()[:2])
    (folder / "known").write_text(f"{NETWORK}.* {key}\n")
    servers, made = [], {}
    call("ip", "link", "add", BRIDGE, "type", "bridge")
    try:
        call("ip", "addr", "add", f"{NETWORK}.255.254/16", "dev", BRIDGE)
        call("ip", "link", "set", BRIDGE, "up")
        login = f"-i {folder}/user -o UserKnownHostsFile={folder}/known -o IdentitiesOnly=yes"
        for number in range(count):
            server = subprocess.Popen(["unshare", "--net", SSHD, "-D", "-f", folder / "sshd_config"])
            servers.append(server)
            address = f"{NETWORK}.{number // 250}.{number % 250 + 1}"
            _join(server.pid, number, address)
            made[f"host{number}"] = {
                "ansible_host": address,
                "ansible_ssh_common_args": login,
                "core": _core(number),
            }
        yield made
    finally:
        _end(servers)
        call("ip", "link", "del", BRIDGE)


def _end(servers):
    """End servers, and what is left of their sessions: no packet will tell those that the other side is gone."""
    spaces = {Path(f"/proc/{server.pid}/ns/net").readlink() for server in servers}
    for server in servers:
        server.terminate()
    for server in servers:
        server.wait()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            if (process / "ns/net").readlink() in spaces:
                os.kill(int(process.name), signal.SIGKILL)


def _join(pid, number, address):
    link = f"{BRIDGE}{number}"
    own, name = Path("/proc/self/ns/net").readlink(), Path(f"/proc/{pid}/ns/net")
    while name.readlink() == own:
        pass  # unshare(1) is a moment away from its namespace
    call("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", pid)
    call("ip", "link", "set", link, "master", BRIDGE, "up")
    inside = f"ip link set lo up && ip addr add {address}/16 dev eth0 && ip link set eth0 up"
    call("nsenter", "-t", pid, "-n", "sh", "-c", inside)


def _core(number):
    state = ROOT / f"{number}"
    add_busybox(state / "images")
    return {
        "state_root": str(state),
        "run_root": f"/dev/shm/bayplan-bench-hosts/{number}",
        "address_pool": "10.218.0.0/16",
        "interface_prefix": "bph",
        "nft_table": "bayplan_bench",
        "cgroup_parent": f"/bayplan-bench-{number}",
    }


def main():
    """Measure, print, compare with the bar."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, default=50)
    parser.add_argument("--forks", type=int, default=25)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--python", default=sys.executable, help="interpreter of the hosts, which has the package")
    options = parser.parse_args()
    with ExitStack() as held:
        held.callback(shutil.rmtree, "/dev/shm/bayplan-bench-hosts", ignore_errors=True)
        held.callback(shutil.rmtree, ROOT, ignore_errors=True)
        Path("/run/sshd").mkdir(exist_ok=True)
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="bp")))
        plays = Plays(folder, python=options.python)
        plays.inventory(held.enter_context(hosts(options.hosts, folder)))
        stack = {"project_name": "up", "settings": "{{ core }}"}
        up = [{"bayplan.containers.stack": {**stack, "definition": {"services": {"web": SERVICE}}}}]
        down = [{"bayplan.containers.stack": {**stack, "state": "absent"}}]
        plays.run("(first up)", up, forks=options.forks)
        held.callback(plays.run, "(down)", down, forks=options.forks)
        for _ in range(options.runs):
            plays.run("ping", [{"ansible.builtin.ping": {}}], forks=options.forks)
            plays.run("raw", [{"ansible.builtin.raw": "true"}], forks=options.forks)
            said = plays.run("up, nothing to do", up, forks=options.forks)
            assert "changed=1" not in said
    print(plays.table())
    name = f"{options.hosts} hosts, unchanged up, times an empty task of equal transport"
    print(verdict(name, plays.median("up, nothing to do") / plays.median("ping"), 1.3))


if __name__ == "__main__":
    main()
