"""Other firewalls that drop what we forward. Fault row 25: firewalld reloaded.

Each runs in namespaces of its own, so that this host's firewall is left alone; one that is not installed is skipped.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
NEEDS = {"docker": ("iptables-nft",), "nft": ("nft",), "ufw": ("ufw",), "firewalld": ("firewalld", "dbus-daemon")}


@pytest.mark.parametrize("kind", NEEDS)
def test_what_it_drops_is_told_and_opened_by_what_is_advised(kind):
    missing = [name for name in NEEDS[kind] if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")
    inside = 'mount -t sysfs sysfs /sys && ip link set lo up && exec "$@"'
    argv = ["unshare", "-n", "-m", "--propagation", "private", "sh", "-c", inside, "sh"]
    argv += [sys.executable, "-m", "integration.networks.firewalls", kind]
    tests = str(Path(__file__).parents[2])
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "ok"
