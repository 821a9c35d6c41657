"""AppArmor on a kernel that has it (`./run vm` has one): under what a container runs, and what that stops."""

import os
import subprocess
from pathlib import Path

import pytest

from bayplan.errors import UnsupportedError
from bayplan.models import Container
from bayplan.runtime.native.containers import apparmor
from bayplan.runtime.native.options import check_options
from containers import proc

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(
        not apparmor.default(), reason="the kernel has no AppArmor, or apparmor_parser is not installed"
    ),
]
MINE = "bayplan-test-profile"


def parser(option, text):
    subprocess.run(["apparmor_parser", option], input=text.encode(), check=True, capture_output=True)


def current(host, made):
    return proc(host.pid(made), "attr/current").read_text().strip("\0\n")


def test_ours_is_the_usual_one_and_comes_back_when_it_was_taken_away(host):
    made = host.start("a", "/bin/sleep", "60")
    assert current(host, made) == f"{apparmor.NAME} (enforce)"
    host.containers.stop(made)
    parser("--remove", f"profile {apparmor.NAME} {{}}")  # as a reboot does
    assert apparmor.is_loaded(apparmor.NAME) is False
    host.containers.start(made, None, {})
    assert current(host, made) == f"{apparmor.NAME} (enforce)"
    assert host.containers.exec(made, ["/bin/cat", "/proc/self/attr/current"]).stdout.startswith(apparmor.NAME.encode())
    host.containers.stop(made)  # its signal reaches it


def test_what_it_stops(host):
    """With every capability and nothing hidden, so that nothing else does."""
    options = {"cap_add": ("ALL",), "security_opt": ("systempaths=unconfined", "seccomp=unconfined")}
    script = "mount -t tmpfs x /tmp 2>&1; echo 1 > /proc/sys/vm/swappiness; true"
    before = Path("/proc/sys/vm/swappiness").read_text()
    said = host.output("a", f"({script}) 2>&1", **options)
    assert len([line for line in said if "ermission denied" in line]) == 2, said
    options["security_opt"] += ("apparmor=unconfined",)
    assert host.output("b", "(mount -t tmpfs x /tmp) 2>&1", **options) == []
    assert Path("/proc/sys/vm/swappiness").read_text() == before


def test_what_is_usual_goes_on_under_it(host):
    script = "sleep 60 & kill $!; wait; echo x > /tmp/f; cat /tmp/f; ls -la /proc/self > /dev/null; ps; id -u"
    said = host.output("a", script)
    assert (said[0], said[-1]) == ("x", "0")


def test_a_profile_of_ones_own_and_none(host, tmp_path):
    parser("--replace", f"profile {MINE} {{ file, capability, signal, deny /etc/group r, }}")
    try:
        made = host.start("a", "/bin/sleep", "60", security_opt=(f"apparmor={MINE}",))
        assert current(host, made) == f"{MINE} (enforce)"
        assert host.containers.exec(made, ["/bin/cat", "/etc/group"]).exit_code == 1
    finally:
        host.containers.stop(made)
        parser("--remove", f"profile {MINE} {{}}")
    for options in ({"security_opt": ("apparmor=unconfined",)}, {"privileged": True}):
        made = host.start(f"b{len(options)}{'privileged' in options}", "/bin/sleep", "60", **options)
        assert current(host, made) == "unconfined"
    gone = Container(name="c", image="x", security_opt=(f"apparmor={MINE}",))
    with pytest.raises(UnsupportedError, match=f"the kernel has no profile {MINE}"):
        check_options(gone, tmp_path)
