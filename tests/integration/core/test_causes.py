"""Why a project drifted: what the kernel, the record and the journal know of it. Then an apply mends each."""

import json
import os
import signal
import subprocess

import pytest

from bayplan.runtime.native.containers import grants
from bayplan.system import cgroups
from faults.core import add_image, layer

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

STACK = """
name: causes
services:
  web:
    image: lab/busybox
    command: [sh, -c, 'trap "exit 3" USR1; while :; do sleep 0.1; done']
    stop_grace_period: 0s
    networks: [net]
    secrets: [note]
    deploy: {resources: {limits: {memory: 64m, pids: 50, cpus: "0.5"}}}
networks: {net: {}}
secrets: {note: {file: ./note}}
"""
WEB, NET = "container causes-web-1", "network causes_net"


@pytest.fixture
def up(project, tmp_path):
    project.file.write_text(STACK)
    (tmp_path / "note").write_text("as it was")
    project("apply")
    return project


def drifted(project):
    """Resource to its causes, and to what mends it."""
    found = json.loads(project("drift", "--json"))
    causes = {f"{one['resource']['kind']} {one['resource']['name']}": one["causes"] for one in found["found"]}
    actions = {f"{one['resource']['kind']} {one['resource']['name']}": one["action"] for one in found["plan"]["steps"]}
    assert causes.keys() == actions.keys()
    return causes, actions


def mended(project):
    project("apply")
    assert "No drift" in project("drift")


def web(project):
    return next(item for item in json.loads(project("status", "--json")) if item["name"] == "causes-web-1")


def test_how_a_process_ended_is_told(up):
    os.kill(web(up)["pid"], signal.SIGUSR1)
    causes, actions = drifted(up)
    assert "its process ended by itself at " in causes[WEB][0]
    assert causes[WEB][0].endswith("with exit code 3")
    assert actions == {WEB: "start"}
    mended(up)
    os.kill(web(up)["pid"], signal.SIGKILL)
    assert "its process was ended by SIGKILL at" in drifted(up)[0][WEB][0]
    mended(up)
    for verb, word in (("stop", "stopped"), ("pause", "paused"), ("rm", "removed")):
        up(verb, *(["-f"] if verb == "rm" else []), "web")
        (cause,) = drifted(up)[0][WEB]
        assert cause.startswith(f"it was {word} by `bayplan {verb}` at 2")
        assert f"because it was {word} by `bayplan {verb}`" in up("drift")
        mended(up)


def test_one_that_the_kernel_killed_for_memory_is_told(up):
    up("exec", "-T", "web", "sh", "-c", "head -c 90m /dev/zero | tail", ok=False)
    if "causes-web-1" in up("drift"):  # the kernel may choose the first process
        assert "its memory limit was reached" in drifted(up)[0][WEB][0]


def test_what_was_changed_in_the_kernel_is_named_and_put_back_in_place(up):
    pid = web(up)["pid"]
    group = f"{up.environment['BAYPLAN_CGROUP_PARENT']}/{web(up)['id']}"
    cgroups.write(group, "pids", "pids.max", "7")
    cgroups.write(group, "memory", "memory.max" if cgroups.is_unified() else "memory.limit_in_bytes", str(32 << 20))
    cgroups.write(group, "cpu", *(("cpu.max", "max") if cgroups.is_unified() else ("cpu.cfs_quota_us", "-1")))
    causes, actions = drifted(up)
    assert actions == {WEB: "heal"}
    assert [cause.partition(":")[0] for cause in causes[WEB]] == [
        "its memory limit is 32MiB, not 64MiB",
        "it may have 7 processes, not 50",
        "its CPU time is all processors, not 50000 of 100000 µs",
    ]
    mended(up)
    assert cgroups.read(group, "pids", "pids.max", "pids.max").strip() == "50"
    table = up.environment["BAYPLAN_NFT_TABLE"]
    subprocess.run(["nft", "flush", "table", "inet", table], check=True)
    assert "changed from outside" in drifted(up)[0][NET][0]
    mended(up)
    assert web(up)["pid"] == pid


def test_a_secret_whose_file_was_changed_is_seen_and_not_shown(up):
    (held,) = grants.place(up.settings).glob("*/0")
    held.write_text("planted by somebody")
    causes, actions = drifted(up)
    assert causes[WEB] == ["what a file of its secrets holds was changed from outside, by another program or by hand"]
    assert actions == {WEB: "re-create"}
    assert "planted" not in up("drift", "--json") + up("drift")
    mended(up)
    assert up("exec", "-T", "web", "cat", "/run/secrets/note") == "as it was"


def test_an_image_whose_name_moved_is_told_and_a_limit_changed_by_the_verb_too(up):
    add_image(up.state / "images", data=layer(files=[("other", b"content")]))
    up("update", "--memory", "80m", "web")
    causes, _ = drifted(up)
    assert causes["image lab/busybox"] == ["its name stands for another image: it was tagged, pulled or built since"]
    assert causes[WEB][0].startswith("resources was changed by `bayplan update` at 2")


def test_a_start_that_failed_is_told_with_who_asked_for_it(up, tmp_path):
    (held,) = grants.place(up.settings).glob("*/0")
    held.unlink()
    (tmp_path / "note").write_text("another")
    up("restart", "web", ok=False)
    said = drifted(up)[0][WEB][0]
    assert said.startswith("it was stopped by `bayplan restart` at ")
    assert said.endswith("UTC, which failed")
    mended(up)
