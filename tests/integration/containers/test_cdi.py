"""Devices by the names of their drivers' descriptions (CDI), on the real core."""

import json
import os

import pytest

from bayplan.errors import ConflictError, NotFoundError
from bayplan.models import Container
from bayplan.runtime.native.containers.spec import cdi
from bayplan.runtime.native.options import check_options

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture
def described(tmp_path, monkeypatch):
    etc, run = tmp_path / "etc", tmp_path / "run"
    monkeypatch.setattr(cdi, "_DIRECTORIES", (etc, run))
    for place in (etc, run):
        place.mkdir()
    (tmp_path / "lib").write_text("a library\n")
    (tmp_path / "hook").write_text(f"#!/bin/sh\ncat > /dev/null\ntouch {tmp_path}/ran\n")
    (tmp_path / "hook").chmod(0o755)
    whole = {
        "cdiVersion": "0.6.0",
        "kind": "vendor.com/null",
        "containerEdits": {"env": ["ALL=1"], "mounts": [{"hostPath": str(tmp_path / "lib"), "containerPath": "/lib"}]},
        "devices": [
            {
                "name": "0",
                "containerEdits": {
                    "env": ["WHICH=zero"],
                    "deviceNodes": [{"path": "/dev/vendor0", "hostPath": "/dev/zero", "permissions": "r"}],
                    "hooks": [{"hookName": "createRuntime", "path": str(tmp_path / "hook")}],
                    "additionalGids": [4242],
                },
            }
        ],
    }
    (etc / "vendor.json").write_text(json.dumps(whole))
    return tmp_path


def test_nodes_mounts_variables_groups_and_hooks(host, described):
    script = "echo $ALL $WHICH; cat /lib; head -c 3 /dev/vendor0 | wc -c; id -G"
    options = {"cdi_devices": ("vendor.com/null=0",), "environment": {"WHICH": "none"}}
    out = host.output("a", script, **options)
    assert out == ["1 zero", "a library", "3", "0 4242"]
    assert (described / "ran").exists()


def test_what_is_not_described_is_refused_when_the_plan_is_made(described, tmp_path):
    for name, said in (("vendor.com/null=7", "of vendor.com/null there are 0"), ("other.com/x=1", "is its driver")):
        with pytest.raises(NotFoundError, match=said):
            check_options(Container(name="a", image="b", cdi_devices=(name,)), tmp_path)
    (described / "etc/vendor.json").chmod(0o666)
    with pytest.raises(ConflictError, match="others than root"):
        check_options(Container(name="a", image="b", cdi_devices=("vendor.com/null=0",)), tmp_path)


def test_what_is_made_at_run_time_goes_first(host, described):
    text = (described / "etc/vendor.json").read_text().replace("WHICH=zero", "WHICH=later")
    (described / "run/vendor.json").write_text(text)
    assert host.output("a", "echo $WHICH", cdi_devices=("vendor.com/null=0",)) == ["later"]
