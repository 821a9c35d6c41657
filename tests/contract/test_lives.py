"""The verbs of a container's life, and what is read of one that runs."""

from datetime import UTC, datetime, timedelta

import pytest

from bayplan.errors import ConflictError, NotFoundError, RuntimeFailureError, UnsupportedError
from bayplan.models import Duration
from bayplan.runtime.protocol import Health, State
from contract.hosts import eventually

QUIET = """
services:
  app:
    image: IMAGE
    command: [sleep, "600"]
    init: true
    stop_grace_period: 5s
    environment: {PASSWORD: swordfish}
"""


@pytest.fixture
def app(real_host):
    """A host with a container that sleeps."""
    real_host.apply(QUIET)
    return real_host


def test_kill_ends_it_and_it_stays_ended(app):
    app.runtime.kill(app.name("app"))
    status = app.container("app").status
    assert (status.state, status.exit_code, status.on_request) == (State.EXITED, 137, True)
    with pytest.raises(ConflictError, match="not running"):
        app.runtime.kill(app.name("app"))


def test_a_signal_reaches_it(real_host):
    host = real_host
    host.apply("""
    services:
      app:
        image: IMAGE
        command: [sh, -c, "trap 'echo caught; exit 5' USR1; echo ready; while :; do sleep 0.1; done"]
    """)
    assert eventually(lambda: [line.text for line in host.runtime.logs(host.name("app"))] == ["ready"])
    host.runtime.kill(host.name("app"), "SIGUSR1")
    assert host.runtime.await_end(host.name("app")) == 5
    with pytest.raises(UnsupportedError, match="unknown signal"):
        host.runtime.kill(host.name("app"), "NONSENSE")


def test_a_paused_one_is_frozen_and_can_be_killed(app):
    name = app.name("app")
    app.runtime.pause(name)
    app.runtime.pause(name)
    assert app.container("app").status.state is State.PAUSED
    app.runtime.unpause(name)
    app.runtime.unpause(name)
    assert app.container("app").status.state is State.RUNNING
    app.runtime.pause(name)
    app.runtime.kill(name)
    assert app.container("app").status.state is State.EXITED
    with pytest.raises(ConflictError, match="not running"):
        app.runtime.pause(name)


def test_stop_and_start_are_no_error_twice(app):
    name = app.name("app")
    for _ in range(2):
        app.runtime.stop(name)
    assert app.container("app").status.on_request
    for _ in range(2):
        app.runtime.start(name)
    assert app.container("app").status.state is State.RUNNING


def test_rename_and_what_is_taken(app):
    with app.runtime.lock("rename"):
        app.runtime.rename(app.name("app"), "renamed-one")
    assert "renamed-one" in app.status()
    assert app.plan(QUIET).steps == ()
    with app.runtime.lock("rename"):
        app.runtime.rename("renamed-one", app.name("app"))
    with pytest.raises(ConflictError, match="exists"):
        app.runtime.rename(app.name("app"), app.name("app"))
    with pytest.raises(NotFoundError, match="does not exist"):
        app.runtime.rename("nobody", "other")


def test_await_end_gives_the_code(real_host):
    host = real_host
    host.apply("services: {app: {image: IMAGE, command: [sh, -c, 'sleep 1; exit 7']}}", settled=False)
    assert host.runtime.await_end(host.name("app")) == 7


def test_wait_until_healthy_and_fail_fast(real_host):
    host = real_host
    text = """
    services:
      app:
        image: IMAGE
        init: true
        command: [sh, -c, "sleep 0.5; touch /ready; exec sleep 600"]
        healthcheck: {test: [CMD, test, -e, /ready], interval: 100ms, timeout: 5s, retries: 100, start_period: 0s}
    """
    host.apply(text)
    status = host.runtime.wait(host.name("app"), "service_healthy", Duration(seconds=30))
    assert status.health is Health.HEALTHY
    assert host.container("app").status.health is Health.HEALTHY
    edited = text.replace("/ready]", "/never]").replace("retries: 100", "retries: 2")

    def apply_and_wait():
        host.apply(edited)  # where a check can be changed in place, nobody waits for its verdict
        host.runtime.wait(host.name("app"), "service_healthy", Duration(seconds=30))

    with pytest.raises(RuntimeFailureError, match="unhealthy"):
        apply_and_wait()


def test_logs_come_whole_and_in_order(real_host):
    host = real_host
    host.apply("""
    services:
      app:
        image: IMAGE
        restart: on-failure
        command: [sh, -c, "echo one; sleep 0.1; echo two >&2; sleep 0.1; printf '%040000d\\n' 0; printf last"]
    """)
    name = host.name("app")
    host.runtime.await_end(name)
    lines = list(host.runtime.logs(name))
    assert [line.stream for line in lines[:2]] == ["stdout", "stderr"]
    assert [line.text for line in lines if len(line.text) < 100] == ["one", "two", "last"]
    assert [len(line.text) for line in lines] == [3, 3, 40000, 4]
    # Podman counts a line and the unfinished one after it as one.
    assert next(line.text for line in host.runtime.logs(name, tail=1)).endswith("last")
    if host.kind != "podman":  # its times are whole seconds
        assert [line.text for line in host.runtime.logs(name, until=lines[0].time)] == ["one"]
        since = host.runtime.logs(name, since=lines[1].time, until=lines[1].time + timedelta(milliseconds=1))
        assert [line.text for line in since] == ["two"]
    assert list(host.runtime.logs(name, since=datetime.now(UTC) + timedelta(hours=1))) == []


def test_logs_follow_to_the_end(real_host):
    host = real_host
    text = """
    services:
      app: {image: IMAGE, restart: on-failure, command: [sh, -c, "for i in 1 2 3; do echo $$i; sleep 0.3; done"]}
    """
    host.apply(text)
    assert [line.text for line in host.runtime.logs(host.name("app"), follow=True)] == ["1", "2", "3"]


def test_logs_of_a_terminal(real_host):
    host = real_host
    host.apply(
        "services: {app: {image: IMAGE, tty: true, init: true, command: [sh, -c, 'echo one; echo two; sleep 600']}}"
    )
    lines = eventually(lambda: (found := list(host.runtime.logs(host.name("app"))))[1:] and found)
    assert [(line.stream, line.text) for line in lines] == [("stdout", "one\r"), ("stdout", "two\r")]


@pytest.mark.parametrize(
    ("command", "options", "expected"),
    [
        (["sh", "-c", "echo out; echo err >&2; exit 3"], {}, (3, b"out\n", b"err\n")),
        (["cat"], {"stdin": b"through"}, (0, b"through", b"")),
        (["cat"], {}, (0, b"", b"")),
        (["sh", "-c", "echo $A"], {"environment": {"A": "b c"}}, (0, b"b c\n", b"")),
        (["id", "-u"], {"user": "1000"}, (0, b"1000\n", b"")),
        (["id", "-un"], {"user": "app"}, (0, b"app\n", b"")),
        (["pwd"], {"working_dir": "/www"}, (0, b"/www\n", b"")),
        (["pwd"], {"working_dir": "www"}, (0, b"/www\n", b"")),
        (["true"], {"detach": True}, (0, b"", b"")),
        (["sh", "-c", "head -c 3000000 /dev/zero | wc -c"], {}, (0, b"3000000\n", b"")),
    ],
)
def test_exec(app, command, options, expected):
    done = app.runtime.exec(app.name("app"), command, **options)
    assert (done.exit_code, done.stdout, done.stderr) == expected


def test_exec_of_what_is_not_there_or_cannot_run(app):
    name = app.name("app")
    assert app.runtime.exec(name, ["nosuch"]).exit_code == 127
    app.sh("app", "echo x > /plain; chmod 644 /plain")
    assert app.runtime.exec(name, ["/plain"]).exit_code == 126
    assert b"nosuch" in app.runtime.exec(name, ["nosuch"]).stderr


def test_exec_is_ended_at_its_deadline(app):
    done = app.runtime.exec(app.name("app"), ["sh", "-c", "sleep 61; true"], timeout=Duration(seconds=0.5))
    assert done.exit_code == 124
    assert eventually(lambda: "sleep 61" not in app.sh("app", "ps"))


def test_exec_needs_one_that_runs(app):
    app.runtime.stop(app.name("app"))
    with pytest.raises(ConflictError, match="not running"):
        app.runtime.exec(app.name("app"), ["true"])
    with pytest.raises(NotFoundError, match="does not exist"):
        app.runtime.exec("nobody", ["true"])


def test_processes_and_usage(app):
    name = app.name("app")
    rows = app.runtime.processes(name)
    assert any(row.command == "sleep 600" for row in rows)
    pids = {row.pid for row in rows}
    assert app.container("app").status.pid in pids
    used = app.runtime.usage(name)
    assert used.memory_bytes > 0
    assert used.pids >= 1
    app.runtime.stop(name)
    assert app.runtime.usage(name).memory_bytes == 0
    with pytest.raises(ConflictError, match="not running"):
        app.runtime.processes(name)


def test_what_happened_is_told(app):
    name = app.name("app")
    app.runtime.kill(name, "SIGKILL")
    app.runtime.start(name)
    mine = [action for _, project, one, action, _ in app.runtime.happened() if (project, one) == (app.project, name)]
    assert mine.index("start") < mine.index("kill") < mine.index("die") < len(mine) - 1 - mine[::-1].index("start")


def test_an_inspection_shows_no_secret(app):
    shown = app.runtime.inspect(app.name("app"))
    assert shown["Name"] == f"/{app.name('app')}"
    assert shown["State"]["Running"] is True
    assert "PASSWORD=***" in shown["Config"]["Env"]
    assert "PATH=/bin" in shown["Config"]["Env"]
    assert "swordfish" not in repr(shown)
