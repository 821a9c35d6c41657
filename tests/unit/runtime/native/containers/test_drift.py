"""What a process may do beyond its declaration, on processes of the test's own."""

import resource
import subprocess
from contextlib import contextmanager

from bayplan.models import Container, Settings
from bayplan.runtime.native.containers.drift import limits, privileges
from bayplan.system.processes import Process


@contextmanager
def running():
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            yield Process.of(child.pid)
        finally:
            child.kill()


def container(**fields):
    return Container(name="one", image="i", **fields)


def test_a_hard_limit_above_the_declared_one_is_lowered_and_a_lower_one_is_its_own_affair():
    with running() as process:
        held = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)[1]
        wanted = container(ulimits={"nofile": {"soft": 64, "hard": held - 1}})
        (text,) = limits.defects(wanted, process)
        assert text == f"its limit RLIMIT_NOFILE is {held}, not {held - 1}"
        limits.heal(wanted, process)
        assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE)[1] == held - 1
        assert limits.defects(wanted, process) == {}
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (16, 32))
        assert limits.defects(wanted, process) == {}


def test_a_process_without_filter_and_with_every_privilege_is_seen():
    with running() as process:
        found = privileges.defects(container(cap_drop=["ALL"]), process, Settings())
        assert set(found.values()) == {"restart"}
        assert any(text.startswith("it may have capabilities that were not granted: ") for text in found)
        assert "its system calls are not filtered" in found
        assert "it may gain privileges by what it executes" in found
        free = container(privileged=True)
        assert privileges.defects(free, process, Settings()) == {}


def test_a_runtime_with_a_kernel_of_its_own_is_not_asked():
    with running() as process:
        assert privileges.defects(container(), process, Settings(oci_runtime="runsc")) == {}
