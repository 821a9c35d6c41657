"""Other OCI runtimes than crun: none of them runs anything without the filter that a container was promised."""

import json
import shutil

import pytest

from bayplan.errors import UnsupportedError
from bayplan.models import Duration
from containers import Host, status_of

pytestmark = [pytest.mark.host, pytest.mark.skipif(shutil.which("runc") is None, reason="runc is not installed")]
FILTERED = "2"  # proc(5), Seccomp: SECCOMP_MODE_FILTER


@pytest.fixture
def runc(settings, rootfs):
    held = Host(settings.model_copy(update={"oci_runtime": "runc"}), rootfs)
    yield held
    held.close()


def test_runc_runs_what_crun_runs(runc):
    made = runc.start("a", "/bin/sh", "-c", "trap 'exit 4' TERM; echo up; while :; do sleep 0.05; done", user="1000")
    status = status_of(runc.pid(made))
    assert (status["Seccomp"], status["NoNewPrivs"], int(status["CapEff"], 16)) == (FILTERED, "1", 0)
    done = runc.containers.exec(made, ["/bin/grep", "Seccomp:", "/proc/self/status"])
    assert done.stdout.split() == [b"Seccomp:", FILTERED.encode()]
    # What the filter answers is what crun's answers: not permitted, not unknown.
    refused = runc.containers.exec(made, ["/bin/unshare", "-U", "/bin/true"])
    assert (refused.exit_code, b"Operation not permitted" in refused.stderr) == (1, True)
    runc.containers.stop(made, Duration(seconds=20))
    assert runc.containers.status(made).exit_code == 4
    runc.containers.start(made, None, {})
    assert runc.pid(made)


def test_a_profile_and_an_unfiltered_one(runc, tmp_path):
    profile = tmp_path / "profile.json"
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    made = runc.start("a", "/bin/sleep", "60", security_opt=(f"seccomp={profile}",))
    done = runc.containers.exec(made, ["/bin/busybox", "mkdir", "/x"])
    assert b"No space left" in done.stderr
    open_one = runc.start("b", "/bin/sleep", "60", security_opt=("seccomp=unconfined",))
    assert status_of(runc.pid(open_one))["Seccomp"] == "0"


def test_one_that_was_made_for_crun_is_not_run_without_its_filter(host, settings, rootfs):
    made = host.create("a", "/bin/sleep", "60")
    other = Host(settings.model_copy(update={"oci_runtime": "runc"}), rootfs)
    try:
        with pytest.raises(UnsupportedError, match="without its system call filter"):
            other.containers.start(made, None, {})
    finally:
        other.database.close()
