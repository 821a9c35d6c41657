"""Options of the first process, seen from inside and in /proc."""

import os
import socket
import time

import pytest

from bayplan.errors import NotFoundError, UnsupportedError
from bayplan.runtime.native.containers.spec import process
from bayplan.runtime.native.images.stored import ImageConfig
from containers import proc

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def test_the_small_init_is_the_first_process_reaps_and_forwards_signals(host):
    try:
        process.init_program()
    except UnsupportedError:
        pytest.skip("no small init is installed")
    script = "trap 'exit 7' TERM; (sleep 0.01 &) ; echo ready; while :; do sleep 0.05; done"
    made = host.start("a", "/bin/sh", "-c", script, init=True)
    while not any(host.containers.logs(made)):
        time.sleep(0.01)
    assert proc(host.pid(made), "cmdline").read_bytes().split(b"\0")[:2] == [b"/dev/init", b"--"]
    host.containers.stop(made)
    assert host.containers.status(made).exit_code == 7
    assert not (host.containers._paths(made).upper / "dev").exists()


def test_without_a_small_init_it_is_refused(host, monkeypatch):
    monkeypatch.setattr(process, "_INITS", ("no-such-init",))
    with pytest.raises(UnsupportedError, match="install package catatonit") as caught:
        process.init_program()
    assert "init" in str(caught.value)


def test_a_terminal(host):
    assert host.output("a", "[ -t 0 ] && [ -t 1 ] && echo $TERM", tty=True)[0].strip() == "xterm"
    assert host.output("b", "[ -t 0 ] || [ -t 1 ] || echo none") == ["none"]


def test_an_open_input_takes_what_is_written_and_stays_open(host):
    made = host.start("a", "/bin/sh", "-c", "while read line; do echo got $line; done", stdin_open=True)
    for word in ("one", "two"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            fd = os.open(host.containers._paths(made).run, os.O_PATH)
            client.connect(f"/proc/self/fd/{fd}/attach")
            os.close(fd)
            client.sendall(f"{word}\n".encode())
            while not any(line.text == f"got {word}" for line in host.containers.logs(made)):
                time.sleep(0.01)
    assert host.containers.status(made).state == "running"


def test_a_closed_input_ends_at_once(host):
    assert host.output("a", "cat; echo end") == ["end"]


def test_groups_directory_and_domain(host):
    script = "id -G; pwd; cat /proc/sys/kernel/domainname; hostname"
    options = {"group_add": ("777", "app"), "working_dir": "/var", "hostname": "one", "domainname": "example.org"}
    assert host.output("a", script, **options) == ["0 777 1000", "/var", "example.org", "one"]
    with pytest.raises(NotFoundError, match="group 'nobody-knows'"):
        host.create("b", "/bin/true", group_add=("nobody-knows",))


def test_the_score_of_the_oom_killer(host):
    made = host.start("a", "/bin/sleep", "60", oom_score_adj=321)
    assert proc(host.pid(made), "oom_score_adj").read_text() == "321\n"


def test_the_stop_signal_is_the_declared_one(host):
    script = "trap 'exit 9' USR1; echo ready; while :; do sleep 0.05; done"
    made = host.start("a", "/bin/sh", "-c", script, stop_signal="USR1")
    while not any(host.containers.logs(made)):
        time.sleep(0.01)
    host.containers.stop(made)
    assert host.containers.status(made).exit_code == 9


def test_an_entrypoint_drops_the_image_s_command(host):
    image = ImageConfig(entrypoint=("/bin/echo", "image"), cmd=("default",))
    for name, given, expected in (
        ("a", {}, "image default"),
        ("b", {"entrypoint": ("/bin/echo", "mine")}, "mine"),
        ("c", {"entrypoint": (), "command": ("/bin/echo", "bare")}, "bare"),
    ):
        options = {"command": None, **given}
        made = _made(host, name, image, options)
        host.containers.start(made, None, {})
        host.containers.wait(made, "service_completed_successfully", _limit())
        assert [line.text for line in host.containers.logs(made)] == [expected]


def _made(host, name, image, options):
    import secrets

    from bayplan.models import Container

    container = Container(name=name, image="busybox", network_mode="none", **options)
    made = secrets.token_hex(32)
    host.containers.reserve(made, container, "p", "sha256:0")
    host.containers.create(made, image, (host.rootfs,), {})
    return made


def _limit():
    from bayplan.models import Duration

    return Duration(seconds=20)
