"""A user namespace of its own: ``userns_mode: auto``, on the real core."""

import os
from pathlib import Path

import pytest

from bayplan.errors import ConflictError, UnsupportedError
from bayplan.models import Container
from bayplan.runtime.native.containers.spec import users
from containers import proc, status_of
from faults.core import add_image, ask, free_port, layer, small_core

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def test_root_inside_is_nobody_outside(host):
    script = "id -u; stat -c %u:%g /bin/busybox; touch /mine; stat -c %u:%g /mine; cat /proc/self/uid_map; sleep 60"
    made = host.start("a", "/bin/sh", "-c", script, userns_mode="auto")
    while len(out := [line.text for line in host.containers.logs(made)]) < 4:
        pass
    base = users._FIRST
    assert out[:3] == ["0", "0:0", "0:0"]
    assert out[3].split() == ["0", str(base), "65536"]
    assert status_of(host.pid(made))["Uid"].split() == [str(base)] * 4
    assert (host.containers._paths(made).upper / "mine").stat().st_uid == base
    other = host.start("b", "/bin/sleep", "60", userns_mode="auto")
    assert status_of(host.pid(other))["Uid"].split() == [str(base + 65536)] * 4
    assert host.containers.exec(made, ["/bin/id", "-u"], user="1000").stdout == b"1000\n"


def test_files_of_binds_and_secrets_belong_to_whom_they_belong(host, tmp_path):
    (tmp_path / "file").write_text("x")
    os.chown(tmp_path / "file", 1000, 1000)
    tmp_path.chmod(0o755)
    bind = {"type": "bind", "source": str(tmp_path), "target": "/b"}
    secret = {"source": "s", "target": "/run/secrets/s", "content": b"word", "uid": 1000, "mode": 0o400}
    script = "stat -c %u /b/file; echo more > /b/new; cat /run/secrets/s; echo; stat -c %u /run/secrets/s"
    out = host.output("a", script, userns_mode="auto", mounts=(bind,), secrets=(secret,), user="0")
    assert out == ["1000", "word", "1000"]
    assert (tmp_path / "new").stat().st_uid == 0


def test_it_goes_through_stop_and_start_with_the_same_range(host):
    made = host.start("a", "/bin/sh", "-c", "echo again >> /f; exec sleep 60", userns_mode="auto")
    first = status_of(host.pid(made))["Uid"]
    host.containers.stop(made)
    host.containers.start(made, None, {})
    while host.containers.exec(made, ["/bin/cat", "/f"]).stdout != b"again\nagain\n":
        pass
    assert status_of(host.pid(made))["Uid"] == first
    assert proc(host.pid(made), "root/f").exists()


def test_what_does_not_go_with_it_is_refused(tmp_path):
    for options in ({"network_mode": "host"}, {"pid": "host"}, {"privileged": True}):
        with pytest.raises(ConflictError, match="namespaces of its own"):
            users.check(Container(name="a", image="b", userns_mode="auto", **options), {})
    with pytest.raises(UnsupportedError, match="cannot show other owners"):
        users.check(Container(name="a", image="b", userns_mode="auto"), {"bind /proc": Path("/proc")})


STACK = """\
name: us
services:
  app:
    image: lab/owned
    command: [sh, -c, 'while :; do nc -l -p 80 -e cat /data/word; done']
    userns_mode: auto
    ports: ["127.0.0.1:PORT:80"]
    volumes: ["data:/data"]
    stop_grace_period: 50ms
    healthcheck: {test: [CMD, cat, /data/word], interval: 100ms}
volumes: {data: {}}
"""


def test_a_whole_service_with_network_port_and_volume(tmp_path):
    port = free_port()
    with small_core(tmp_path, STACK.replace("PORT", str(port)), pool="10.222.0.0/16") as core:
        add_image(core.settings.state_root / "images", "lab/owned", layer(files=[("data/word", b"of a volume\n")]))
        core.call("apply")
        assert ask(port) == b"of a volume\n"
        assert core.call("apply", "--json")["changed"] is False
        (held,) = (core.settings.state_root / "volumes").glob("*/_data/word")
        assert held.stat().st_uid == 0
        assert core.call("exec", "-T", "app", "sh", "-c", "busybox stat -c %u /data/word") == "0\n"
        assert "not built for userns_mode auto" in core.call("cp", "app:/data/word", str(tmp_path), code=2)
        assert "not built for userns_mode auto" in core.call("image", "commit", "us-app-1", "x", code=2)
        text = core.file.read_text()
        core.file.write_text(text.replace("userns_mode: auto", "userns_mode: auto\n    pid: host"))
        assert "needs namespaces of its own" in core.call("plan", code=2)
        core.file.write_text(text)


@pytest.mark.parametrize("there", [True, False])
def test_a_host_without_user_namespaces_is_refused_with_the_plan(tmp_path, monkeypatch, there):
    """As where ``user.max_user_namespaces`` is 0: unshare(1) then says so and ends."""
    if there:
        (tmp_path / "unshare").write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / "unshare").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    wanted = Container(name="a", image="b", userns_mode="auto")
    with pytest.raises(UnsupportedError, match=r"container a.*(user namespaces|not installed)"):
        users.check(wanted, {"the state root": tmp_path})
