"""exec with and without a terminal, and attach, on the real core."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time

import pytest

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def on_terminal(bayplan, *arguments, rows=33, columns=101, typed=()):
    """Run on a pseudo-terminal; what it printed, and its exit code."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    child = bayplan.popen(*arguments, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    said, keys, deadline = b"", list(typed), time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            if select.select([master], [], [], 0.1)[0]:
                try:
                    said += os.read(master, 65536)
                except OSError:
                    break
            if keys and keys[0][0] in said:
                os.write(master, keys.pop(0)[1])
        return said, child.wait(60)
    finally:
        os.close(master)


def test_exec_codes_input_and_detach(bayplan):
    bayplan("apply")
    assert "not found" in bayplan("exec", "app", "nosuch", code=127).lower()
    bayplan("exec", "app", "sh", "-c", "echo x > /tmpfile; chmod 644 /tmpfile")
    bayplan("exec", "app", "/tmpfile", code=126)
    bayplan("exec", "app", "sh", "-c", "exit 1", code=1)
    assert bayplan("exec", "-i", "app", "cat", stdin="through\n") == "through\n"
    assert bayplan("exec", "--no-interactive", "app", "cat", stdin="through\n") == ""
    bayplan("exec", "-d", "app", "sh", "-c", "sleep 0.2; echo done > /left")
    deadline = time.monotonic() + 30
    while "done" not in bayplan("exec", "app", "sh", "-c", "cat /left; true"):
        assert time.monotonic() < deadline


def test_exec_on_a_terminal_has_its_size_and_raw_keys(bayplan):
    bayplan("apply")
    said, code = on_terminal(bayplan, "exec", "app", "sh", "-c", "stty size; tty; exit 9")
    assert b"33 101" in said
    assert b"/dev/" in said
    assert code == 9
    typed = [(b"ready", b"\x03")]
    said, code = on_terminal(
        bayplan,
        "exec",
        "app",
        "sh",
        "-c",
        "trap 'echo caught; exit 4' INT; echo ready; while :; do sleep 0.1; done",
        typed=typed,
    )
    assert b"caught" in said
    assert code == 4
    forced = bayplan("exec", "-t", "app", "tty")
    assert forced.startswith("/dev/")


def test_attach_sees_output_and_the_end(bayplan):
    loop = "while :; do echo tick; echo tock >&2; sleep 0.05; done"
    text = bayplan.file.read_text().replace("echo ready; while :; do sleep 0.05; done", loop)
    bayplan.file.write_text(text)
    bayplan("apply")
    joined = bayplan.popen("attach", "app", stdin=subprocess.DEVNULL, stdout=-1, stderr=-1, text=True)
    assert joined.stdout.readline() == "tick\n"
    assert joined.stderr.readline() == "tock\n"
    bayplan("stop", "app")
    joined.communicate(timeout=60)
    assert joined.returncode == 5
    assert "is not running" in bayplan("attach", "app", code=2)
    bayplan("start", "app")
    said, code = on_terminal(bayplan, "attach", "app", typed=[(b"tick", b"\x10\x11")])
    assert (b"tick" in said, code) == (True, 0)
    assert bayplan.states()["app"] == "running"


def test_attach_to_a_terminal_with_an_open_input(bayplan):
    """What is typed on a real terminal reaches the container's own; its size goes along; keys of one's own detach."""
    loop = "stty size; while read line; do echo got:$$line; stty size; done; exit 7"
    text = bayplan.file.read_text().replace('trap "exit 5" TERM; echo ready; while :; do sleep 0.05; done', loop)
    bayplan.file.write_text(text.replace("  app:\n", "  app:\n    tty: true\n    stdin_open: true\n"))
    bayplan("apply")
    typed = [(b"\r", b"one\n"), (b"33 101", b"two\n"), (b"got:two", b"\x01z")]
    said, code = on_terminal(bayplan, "attach", "--detach-keys", "ctrl-a,z", "app", typed=[(b"", b"one\n"), *typed[1:]])
    assert b"got:one" in said
    assert b"33 101" in said
    assert code == 0
    assert bayplan.states()["app"] == "running"
    said, code = on_terminal(bayplan, "attach", "app", typed=[(b"", b"three\n"), (b"got:three", b"\x04")])
    assert code == 7
    assert b"got:three" in said
