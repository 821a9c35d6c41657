"""The caller's own streams, and terminal, joined to containers and commands."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time

import pytest

from bayplan.models import Duration

DETACHED = 100
SHELL = """
services:
  app:
    image: IMAGE
    command: [sh, -c, "echo ready; while read line; do echo got $$line; [ $$line = end ] && exit 5; done; exit 6"]
    stdin_open: true
    stop_grace_period: 0s
"""


def piped(host, verb, service, *command, stdin=""):
    done = subprocess.run(
        host.attached(verb, service, *command), input=stdin, capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout, done.stderr


def typed(host, verb, service, *command, keys, rows=33, columns=101):
    """On a terminal: each of ``keys`` is a text to wait for, and what is typed then. Exit code and what it showed."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    child = subprocess.Popen(
        host.attached(verb, service, *command), stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    said, left, end = b"", list(keys), time.monotonic() + 60
    try:
        while time.monotonic() < end:
            if select.select([master], [], [], 0.1)[0]:
                try:
                    said += os.read(master, 65536)
                except OSError:
                    break
            if left and left[0][0] in said:
                os.write(master, left.pop(0)[1])
        return child.wait(60), said
    finally:
        os.close(master)


def test_attach_carries_both_ways_and_gives_the_code(real_host):
    real_host.apply(SHELL)
    code, out, _ = piped(real_host, "attach", "app", stdin="one\nend\n")
    assert (code, out.replace("ready\n", "")) == (5, "got one\ngot end\n")


def test_a_start_misses_no_first_byte(real_host):
    text = SHELL.replace("echo ready;", "echo ready; echo problem >&2;")
    real_host.apply(text)
    real_host.runtime.stop(real_host.name("app"))
    code, out, err = piped(real_host, "start", "app", stdin="end\n")
    assert (code, out, err) == (5, "ready\ngot end\n", "problem\n")


def test_keys_detach_and_it_goes_on(real_host):
    real_host.apply(SHELL.replace("stdin_open: true", "stdin_open: true\n    tty: true"))
    code, said = typed(real_host, "attach", "app", keys=[(b"", b"one\n"), (b"got one", b"\x10\x11")])
    assert code == DETACHED
    assert b"got one" in said
    assert real_host.container("app").status.pid
    code, _ = typed(real_host, "attach", "app", keys=[(b"", b"end\n")])
    assert code == 5


def test_a_command_has_the_callers_terminal(real_host):
    real_host.apply("services: {app: {image: IMAGE, init: true, command: [sleep, '600']}}")
    script = "sleep 0.5; stty size; read word; echo said $word; exit 9"
    code, said = typed(real_host, "exec", "app", "sh", "-c", script, keys=[(b"33 101", b"hello\n")])
    assert (code, b"said hello" in said) == (9, True)


def test_a_command_that_is_captured_has_a_terminal_all_the_same(real_host):
    real_host.apply("services: {app: {image: IMAGE, init: true, command: [sleep, '600']}}")
    script = "read word; test -t 0 -a -t 1 && echo got $word; exit 4"
    name = real_host.name("app")
    done = real_host.runtime.exec(name, ["sh", "-c", script], tty=True, stdin=b"hello\n")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (4, b"got hello")
    done = real_host.runtime.exec(name, ["sleep", "61"], tty=True, timeout=Duration(seconds=0.5))
    assert done.exit_code == 124


@pytest.mark.parametrize(("stdin", "expected"), [("through\n", "through\n"), ("", "")])
def test_a_command_has_the_callers_streams(real_host, stdin, expected):
    real_host.apply("services: {app: {image: IMAGE, init: true, command: [sleep, '600']}}")
    code, out, err = piped(real_host, "exec", "app", "sh", "-c", "cat; echo err >&2; exit 4", stdin=stdin)
    assert (code, out, err) == (4, expected, "err\n")
