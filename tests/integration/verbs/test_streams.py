"""exec with and without a terminal, and attach, on the real core."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import threading
import time

import pytest

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def own_terminal():
    """Make standard input the controlling terminal: its keys are signals then (ioctl_tty(2))."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def on_terminal(bayplan, *arguments, rows=33, columns=101, typed=()):
    """Run on a pseudo-terminal; what it printed, and its exit code.

    ``typed`` are texts to wait for, each with what is typed then, or the rows and columns that the window gets.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    child = bayplan.popen(*arguments, stdin=slave, stdout=slave, stderr=slave, preexec_fn=own_terminal)
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
                answer = keys.pop(0)[1]
                if isinstance(answer, bytes):
                    os.write(master, answer)
                else:
                    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", *answer, 0, 0))
        return said, child.wait(60)
    finally:
        os.close(master)


def test_exec_codes_input_and_detach(bayplan):
    bayplan("apply")
    assert bayplan("exec", "app", "nosuch", code=127).lower().count("not found") == 1
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
    for _ in range(3):
        # crun gives a further command's terminal its size from outside, as that begins: on a busy host one that asks at
        # once may be the first (one run of some hundred).
        said, code = on_terminal(bayplan, "exec", "app", "sh", "-c", "stty size; tty; exit 9")
        assert b"/dev/" in said
        assert code == 9
        if b"stty: " not in said:
            break
    assert b"33 101" in said
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


def test_on_a_terminal_of_its_own_the_end_of_the_input_ends_what_reads_it(bayplan):
    """As `exec -it` in a script, or with a file: it would wait for keys for ever."""
    bayplan("apply")
    assert "got" in bayplan("exec", "-t", "app", "sh", "-c", "cat; echo got", stdin="")
    assert "hello from" in bayplan("exec", "-t", "app", "sh", stdin="echo hello from\n")


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


WATCH = 'while :; do s=$$(stty size); [ "$$s" = "$$o" ] || echo "now $$s."; o=$$s; sleep 0.05; done'


def declare(bayplan, command, *options):
    lines = "".join(f"    {line}\n" for line in options)
    text = "name: bpv\nservices:\n  app:\n    image: lab/busybox\n    stop_grace_period: 100ms\n"
    bayplan.file.write_text(f"{text}{lines}    command:\n    - sh\n    - -c\n    - |\n      {command}\n")
    bayplan("apply")


def test_a_window_that_changes_its_size_is_followed(bayplan):
    declare(bayplan, WATCH, "tty: true", "stdin_open: true")
    sizes = [(b"now 33 101.", (20, 70)), (b"now 20 70.", (41, 132)), (b"now 41 132.", b"\x10\x11")]
    said, code = on_terminal(bayplan, "attach", "app", typed=sizes)
    assert (b"now 41 132." in said, code) == (True, 0)
    assert bayplan.states()["app"] == "running"
    script = "trap 'exit 6' INT; " + WATCH.replace("$$", "$")
    sizes = [(b"now 33 101.", (21, 71)), (b"now 21 71.", b"\x03")]
    said, code = on_terminal(bayplan, "exec", "-it", "app", "sh", "-c", script, typed=sizes)
    assert (b"now 21 71." in said, code) == (True, 6)


def test_without_input_nothing_that_is_typed_arrives(bayplan):
    loop = "i=0; while :; do i=$$((i + 1)); echo tick$$i; read -t 0.1 line && echo got:$$line; sleep 0.1; done"
    declare(bayplan, loop, "tty: true", "stdin_open: true")
    typed = [(b"tick", b"hidden\n"), (b"tick9", b"\x03")]
    said, code = on_terminal(bayplan, "attach", "--no-stdin", "app", typed=typed)
    assert b"got:hidden" not in said
    assert code == 130
    assert bayplan.states()["app"] == "running"


def test_input_through_a_pipe_to_a_container_without_a_terminal(bayplan):
    declare(bayplan, "while read line; do echo got:$$line; echo err:$$line >&2; done; sleep 600", "stdin_open: true")
    joined = bayplan.popen("attach", "app", stdin=-1, stdout=-1, stderr=-1, text=True)
    joined.stdin.write("one\n")
    joined.stdin.flush()
    assert joined.stdout.readline() == "got:one\n"
    assert joined.stderr.readline() == "err:one\n"
    joined.stdin.close()
    # The end of one client's input is none of the container's: another one may come.
    again = bayplan.popen("attach", "app", stdin=-1, stdout=-1, stderr=-1, text=True)
    again.stdin.write("two\n")
    again.stdin.flush()
    assert again.stdout.readline() == "got:two\n"
    bayplan("kill", "app")
    assert (joined.wait(60), again.wait(60)) == (137, 137)
    for one in (joined, again):
        for stream in (one.stdin, one.stdout, one.stderr):
            stream.close()


SIGNALS = "trap 'echo hup' HUP; trap 'echo usr' USR1; trap 'exit 9' INT; echo ready; while :; do sleep 0.05; done"


def test_signals_go_on_to_a_container_without_a_terminal(bayplan):
    declare(bayplan, SIGNALS)
    joined = bayplan.popen("attach", "app", stdin=subprocess.DEVNULL, stdout=-1, text=True)
    other = bayplan.popen("attach", "--no-sig-proxy", "app", stdin=subprocess.DEVNULL, stdout=-1, text=True)
    waiting = {joined.stdout, other.stdout}
    while waiting:  # who sees it has joined
        bayplan("exec", "app", "kill", "-USR1", "1")
        waiting -= set(select.select(list(waiting), [], [], 0.2)[0])
    joined.send_signal(signal.SIGHUP)
    while joined.stdout.readline() != "hup\n":
        pass
    other.send_signal(signal.SIGINT)
    assert other.wait(60) == 130
    assert bayplan.states()["app"] == "running"
    joined.send_signal(signal.SIGINT)
    assert joined.wait(60) == 9
    for one in (joined, other):
        one.stdout.close()


def test_on_a_terminal_ctrl_c_reaches_a_container_without_one(bayplan):
    declare(bayplan, SIGNALS.replace("echo ready; while :; do", "while :; do echo tick;"))
    said, code = on_terminal(bayplan, "attach", "app", typed=[(b"tick", b"\x03")])
    assert (b"tick" in said, code) == (True, 9)


def test_a_terminal_that_goes_away_ends_the_client_alone(bayplan):
    declare(bayplan, "while :; do echo tick; sleep 0.05; done", "tty: true", "stdin_open: true")
    master, slave = pty.openpty()
    joined = bayplan.popen("attach", "app", stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    os.read(master, 1)
    os.close(master)
    joined.wait(60)
    assert bayplan.states()["app"] == "running"


def test_exec_has_its_own_environment_user_and_directory(bayplan):
    declare(bayplan, "sleep 600", "environment: {A: own, B: own}")
    options = ("-e", "A=mine", "-e", "C", "-u", "7:8", "-w", "/bin")
    bayplan.environment["C"] = "caller's"
    said = bayplan("exec", *options, "app", "sh", "-c", "echo $A $B $C $(id -u) $(id -g) $PWD")
    assert said == "mine own caller's 7 8 /bin\n"
    found = bayplan("exec", "--json", "app", "sh", "-c", "echo out; echo err >&2; exit 3", code=3)
    assert found == {"exit_code": 3, "stdout": "out\n", "stderr": "err\n"}


def test_what_comes_through_a_pipe_is_no_key_and_arrives_whole(bayplan):
    """Bytes of a file are not typed: neither do some of them detach, nor is the last one held back."""
    declare(bayplan, "exec cat", "stdin_open: true")
    sent = b"begin\x10\x11end" + bytes(range(256)) * 8192 + b"\x10"
    joined = bayplan.popen("attach", "app", stdin=-1, stdout=-1)
    threading.Thread(target=lambda: (joined.stdin.write(sent), joined.stdin.close())).start()
    got = b""
    while len(got) < len(sent) and (piece := os.read(joined.stdout.fileno(), 65536)):
        got += piece
    bayplan("kill", "app")
    assert joined.wait(60) == 137
    joined.stdout.close()
    assert got == sent


def test_keys_leave_a_command_running(bayplan):
    bayplan("apply")
    loop = "echo ready; while :; do echo more; echo x >> /grows; sleep 0.05; done"
    said, code = on_terminal(bayplan, "exec", "app", "sh", "-c", loop, typed=[(b"ready", b"\x10\x11")])
    assert (code, b"ready" in said) == (0, True)
    size = len(bayplan("exec", "app", "cat", "/grows"))
    deadline = time.monotonic() + 30
    while len(bayplan("exec", "app", "cat", "/grows")) <= size + 10:
        assert time.monotonic() < deadline
    # Others of the caller's choice, and what only begins like them goes on.
    typed = [(b"ready", b"a\x10b\n"), (b"a^Pb", b"\x18")]
    said, code = on_terminal(
        bayplan, "exec", "--detach-keys", "ctrl-x", "app", "sh", "-c", "echo ready; cat -v; sleep 60", typed=typed
    )
    assert code == 0
    assert "is no key" in bayplan("exec", "--detach-keys", "ctrl-", "app", "true", code=2)


def test_keys_leave_a_run_and_it_is_not_removed(bayplan):
    typed = [(b"ready", b"\x18\x19")]
    argv = ("run", "--rm", "--name", "left", "--no-deps", "--detach-keys", "ctrl-x,ctrl-y", "app")
    said, code = on_terminal(bayplan, *argv, "sh", "-c", "echo ready; sleep 600", typed=typed)
    assert code == 0
    assert b"left left running" in said
    assert bayplan.status("left")["state"] == "running"
