"""The role on a bare Ubuntu 24.04 that has booted with its own kernel and systemd: units, a reboot, the timer, removal.

`./run vm` runs it, and `pytest -m vm tests/vm`: qemu emulates the processor, so it takes long.
"""

import os
import shlex

import pytest

from managed import FLEET, source
from vm.machine import MISSING, Machine

pytestmark = [
    pytest.mark.vm,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(MISSING is not None, reason=f"needs {MISSING}"),
]
INSTALL = "bayplan.containers.install"
LIMIT = "find /sys/fs/cgroup/bayplan -name memory.max | xargs grep -lx 33554432 | wc -l"
UNITS = "systemctl list-units --all --plain --no-legend 'bayplan*'; systemctl list-unit-files --no-legend 'bayplan*'"
PAGE_S = 300


@pytest.fixture
def machine(tmp_path):
    with Machine(tmp_path) as made:
        yield made


def until(machine, command, timeout_s=PAGE_S):
    """Wait on the machine until a command there succeeds."""
    machine.ssh(
        f"timeout {timeout_s} sh -c {shlex.quote(f'until {command}; do sleep 1; done')}", timeout_s=2 * timeout_s
    )


def await_page(machine):
    """Wait until the container answers on the host's port."""
    fetch = "import urllib.request as r; assert b'version 1 ' in r.urlopen('http://127.0.0.1/', timeout=20).read()"
    until(machine, f'python3 -c "{fetch}" 2> /dev/null')


def state(machine, unit, name="ActiveState"):
    return machine.ssh(f"systemctl show --value --property {name} {unit}").strip()


def test_units_under_a_real_systemd(machine, tmp_path):
    assert machine.ssh("stat -fc %T /sys/fs/cgroup; cat /proc/1/comm").split() == ["cgroup2fs", "systemd"]
    package = str(source(tmp_path, "0.1.1"))
    machine.play(INSTALL, bayplan_package=package, bayplan_heal=["web", "other"])
    verify = "systemd-analyze verify --man=no bayplan.service bayplan-heal@web.service bayplan-heal@web.timer"
    assert machine.ssh(f"{verify} 2>&1") == ""
    assert state(machine, "bayplan.service", "UnitFileState") == "enabled"
    assert state(machine, "bayplan-heal@web.timer") == state(machine, "bayplan-heal@other.timer") == "active"
    machine.ssh("systemctl start bayplan-heal@other.service")
    assert state(machine, "bayplan-heal@other.service") == "inactive", "it was never applied, which is no failure"

    machine.play(FLEET / "stack.yml")
    await_page(machine)
    supervisor = machine.ssh("systemctl list-units --plain --no-legend 'bayplan-supervisor-*.service'").split()[0]
    before = state(machine, supervisor, "MainPID")
    machine.ssh(f"systemctl daemon-reload && kill -KILL {before}")
    assert machine.ssh(LIMIT) == "1\n", "systemd has taken no limit away"
    until(machine, f"systemctl is-active --quiet {supervisor}")
    assert state(machine, supervisor, "MainPID") not in ("0", before)

    machine.reboot()
    await_page(machine)
    assert state(machine, "bayplan.service") == "active"
    assert "web-front-1: started" in machine.ssh("journalctl --unit bayplan.service --boot --output cat")
    assert state(machine, supervisor) == "active"
    assert machine.ssh(LIMIT) == "1\n"
    machine.ssh("/opt/bayplan/bin/bayplan -p web drift --detailed-exitcode")

    said, changed = machine.play(INSTALL, bayplan_package=package, bayplan_heal=["web"], bayplan_heal_every="90s")
    assert changed == 2, said  # the other interval, and a project that is not named any more
    assert "other" not in machine.ssh("systemctl list-timers --all 'bayplan*'")
    machine.ssh("/opt/bayplan/bin/bayplan -p web stop front")
    await_page(machine)
    until(machine, "test $(systemctl show --value --property ActiveState bayplan-heal@web.service) = inactive")
    assert "web-front-1" in machine.ssh("journalctl --unit bayplan-heal@web.service --boot --output cat")
    assert machine.ssh(LIMIT) == "1\n", "it goes on when the service has ended"
    await_page(machine)

    machine.play(FLEET / "cleanup.yml")
    assert machine.ssh(UNITS) == ""
    assert machine.ssh("systemctl is-system-running") == "running\n"
