"""An image given to another host: a real sshd on loopback, and behind it a core of its own."""

import json
import os
import secrets
import shlex
import shutil
import struct
import sys
from pathlib import Path

import pytest

from sshd import MISSING, sshd

pytestmark = [pytest.mark.host, pytest.mark.skipif(MISSING, reason="package openssh-server is not installed")]


@pytest.fixture
def other(core):
    """Address of the other host, the command of its bridge, the environment of its core, and that of the sender."""
    root = core.root / "other"
    root.mkdir()
    run = Path("/run/bayplan-tests") / secrets.token_hex(4)
    own = {
        "BAYPLAN_STATE_ROOT": str(root / "state"),
        "BAYPLAN_RUN_ROOT": str(run),
    }
    own |= {name: core.env[name] for name in ("BAYPLAN_NFT_TABLE", "BAYPLAN_INTERFACE_PREFIX", "BAYPLAN_CGROUP_PARENT")}
    own |= {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}  # sshd gives none of ours
    words = ["env", *(f"{name}={value}" for name, value in own.items()), sys.executable, "-m", "bayplan", "bridge"]
    with sshd(root / "ssh") as (address, path):
        yield address, shlex.join(words), own, {"PATH": path}
    shutil.rmtree(run, ignore_errors=True)


def test_only_what_the_other_host_lacks_is_sent(core, other):
    address, bridge, own, path = other
    first = core("image", "copy", "lab/busybox", address, "--bridge", bridge, "--json", **path)
    there = core("image", "ls", "--json", **own)
    here = core("image", "ls", "--json")
    assert there == here
    assert first["blobs"] == 3
    core("image", "tag", "lab/busybox", "lab/again:2")
    again = core("image", "copy", "lab/again:2", address, "--bridge", bridge, "--json", **path)
    assert (again["blobs"], again["size_bytes"]) == (0, 0)
    assert core("image", "ls", "--json", **own)[0]["names"] == ["lab/again:2", "lab/busybox:latest"]


def test_what_goes_wrong_there_is_told_here(core, other):
    address, _, own, path = other
    assert "without an answer" in core("image", "copy", "lab/busybox", address, "--bridge", "exit 7", code=3, **path)
    assert "no bridge" in core("image", "copy", "lab/busybox", address, "--bridge", "echo hello", code=1, **path)
    gone = core("image", "copy", "lab/busybox", "ssh://root@127.0.0.1:1", code=3, **path)
    assert "Connection refused" in gone
    assert core("image", "ls", "--json", **own) == []


@pytest.mark.parametrize(
    "bad", ["ssh://-oProxyCommand=x", "ssh://a@-x", "http://h", "ssh://h/path", "ssh://u:p@h", "h"]
)
def test_an_address_cannot_be_an_option(core, bad):
    assert "no host to reach by ssh" in core("image", "copy", "lab/busybox", bad, code=2)


def test_a_bridge_takes_no_other_content(core):
    digest = core("image", "ls", "--json")[0]["digest"]
    request = {
        "verb": "image_receive",
        "name": "x:1",
        "manifest": digest,
        "blobs": [{"digest": "sha256:" + "1" * 64, "size": 3}],
    }
    request["blobs"].append({"digest": digest, "size": 1})
    frames = struct.pack(">I", 3) + b"abc" + struct.pack(">I", 0)
    for data, text in (
        (frames, "has digest"),
        (struct.pack(">I", 9) + b"abcdefghi", "larger than"),
        (b"\0", "ended in"),
    ):
        said = core("bridge", stdin=json.dumps(request).encode() + b"\n" + data)
        last = json.loads(said.splitlines()[-1])
        assert last["failed"]
        assert text in last["msg"]
    bad = core("bridge", stdin=json.dumps({**request, "name": "../X"}).encode() + b"\n")
    assert "image name" in bad
    assert len(core("image", "ls", "--json")[0]["names"]) == 1


def test_all_platforms_of_a_name_are_sent(core, other):
    address, bridge, own, path = other
    context = core.root / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\nARG TARGETARCH\nLABEL arch=$TARGETARCH\nCOPY Dockerfile /\n")
    core("build", "-t", "lab/many:1", "--platform", "linux/arm64,linux/s390x", context)
    sent = core("image", "copy", "lab/many:1", address, "--bridge", bridge, "--json", **path)
    assert sent["blobs"] == 6  # two configurations, two manifests, the layer of both, and the index
    (here,), (there,) = (core("image", "inspect", "--json", "lab/many:1", **extra) for extra in ({}, own))
    assert there["Manifests"] == here["Manifests"]
    assert there["Descriptor"] == here["Descriptor"]
