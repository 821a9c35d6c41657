"""A bridge that stays for the next request: real processes, started as a task's command starts them."""

import errno
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bayplan.bridge.staying import answer_and_stay, remove_killed
from bayplan.system import cgroups
from plays import TOP
from stayed import mark, staying, until

LAUNCH = TOP / "plugins/module_utils/_launch.py"
COMMAND = Path(sys.executable).parent / "bayplan"
SOURCE = TOP / "src"


class Asked:
    """Requests of one test; the bridges that stay for them are no other's, by a variable that counts for that."""

    def __init__(self, directory):
        self.directory, self.mark = directory, mark()
        name, _, value = self.mark.partition("=")
        runtime = directory / "runtime"
        runtime.mkdir(mode=0o700)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BAYPLAN_")}
        self.environment = {**kept, name: value, "XDG_RUNTIME_DIR": str(runtime), "PYTHONPATH": str(SOURCE)}

    def start(self, before=None, **environment):
        """The command of a task, which waits for its request; ``before`` is done by its process first."""
        argv = [sys.executable, "-c", LAUNCH.read_text(), str(COMMAND)]
        more = {"env": {**self.environment, **environment}, "cwd": self.directory, "preexec_fn": before}
        return subprocess.Popen(argv, stdin=-1, stdout=-1, stderr=-1, text=True, **more)

    def ask(self, request=None, before=None, **environment):
        """The answer to a request, and that nothing was written beside it."""
        started = self.start(before, **environment)
        out, err = started.communicate(json.dumps(request or {"verb": "nothing"}))
        begun, answer = out.splitlines()
        assert (begun, err, started.returncode) == ("#bayplan#", "", 0)
        return json.loads(answer)

    def staying(self):
        """Those that stay for it, by pid: their sockets."""
        return staying(self.mark)

    def one(self):
        """The one that stays, once it listens."""
        until(lambda: any(path.exists() for path in self.staying().values()))
        ((pid, path),) = self.staying().items()
        return pid, path


@pytest.fixture
def asked(tmp_path):
    made = Asked(tmp_path)
    yield made
    for pid in made.staying():
        os.kill(pid, signal.SIGTERM)


def worker_of(pid):
    """Its child, once that waits for its request: before, an asker starts a bridge itself when this one ends."""

    def found():
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [one for one in children if "pipe_read" in Path(f"/proc/{one}/wchan").read_text()]

    return int(until(found)[0])


def test_the_next_request_is_answered_by_a_process_of_its_own_as_if_it_was_started_anew(asked):
    first = asked.ask()
    assert "a request is an object with a verb" in first["msg"]
    pid, path = asked.one()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    until(lambda: Path(f"/proc/{pid}/stat").read_text().split()[2] == "S")
    assert asked.ask() == first
    assert list(asked.staying()) == [pid]

    # It holds nothing of who started it, and is not the asker's child.
    assert {str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in range(3)} == {"/dev/null"}
    assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
    assert os.getsid(pid) == pid

    # Environment, directory and streams are the asker's.
    (asked.directory / "wrong.toml").write_text("engine =")
    config = str(asked.directory / "wrong.toml")
    waiting = asked.start(BAYPLAN_CONFIG=config)
    worker = worker_of(pid)
    assert f"BAYPLAN_CONFIG={config}" not in Path(f"/proc/{pid}/environ").read_text()
    assert Path(f"/proc/{worker}/cwd").readlink() == asked.directory
    answer = json.loads(waiting.communicate('{"verb": "host_info"}')[0].splitlines()[1])
    assert answer["where"] == config
    relative = asked.ask({"verb": "plan", "stack": {"files": ["absent.yaml"]}})
    assert str(asked.directory / "absent.yaml") in relative["msg"] + relative["where"]


def test_who_is_killed_takes_its_request_along(asked):
    asked.ask()
    pid, path = asked.one()
    waiting = asked.start()
    worker = worker_of(pid)
    waiting.kill()
    waiting.communicate()
    until(lambda: not Path(f"/proc/{worker}").exists())

    # The one that is worked on goes on without the one that stayed; another stays for those after it.
    waiting = asked.start()
    worker_of(pid)
    os.kill(pid, signal.SIGKILL)
    out, _ = waiting.communicate('{"verb": "nothing"}')
    assert (waiting.returncode, json.loads(out.splitlines()[1])["failed"]) == (0, True)
    assert path.exists()
    assert asked.ask()["failed"]
    assert asked.one()[0] != pid

    # What one left that was killed goes when the next one starts.
    left = path.with_name(secrets.token_hex(12))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(left))
    os.kill(asked.one()[0], signal.SIGTERM)
    until(lambda: not asked.staying())
    asked.ask()
    asked.one()
    assert not left.exists()

    # A worker that is killed is no answer.
    waiting = asked.start()
    os.kill(worker_of(asked.one()[0]), signal.SIGKILL)
    assert waiting.communicate()[0] == "#bayplan#\n"
    assert waiting.returncode == 137


def test_it_ends_by_itself_and_may_not_be_wanted(asked):
    asked.ask(BAYPLAN_BRIDGE_STAYS="0")
    assert asked.staying() == {}
    asked.ask(BAYPLAN_BRIDGE_STAYS="1")
    _, path = asked.one()
    until(lambda: not asked.staying())
    assert not path.exists()
    asked.ask()
    pid, path = asked.one()
    os.kill(pid, signal.SIGTERM)
    until(lambda: not asked.staying())
    assert not path.exists()


def test_of_several_that_were_started_at_once_one_stays(asked):
    asked.environment["BAYPLAN_BRIDGE_STAYS"] = "300"
    started = [asked.start() for _ in range(4)]
    for one in started:
        assert json.loads(one.communicate("{}")[0].splitlines()[1])["failed"]
    until(lambda: len(asked.staying()) == 1)
    _, path = asked.one()
    assert path.exists()


def test_another_package_and_other_circumstances_are_no_business_of_it(asked, tmp_path):
    asked.environment["PYTHONPATH"] = str(tmp_path / "src")
    shutil.copytree(SOURCE / "bayplan", tmp_path / "src/bayplan")
    asked.ask()
    pid, path = asked.one()
    newer = {"verb": "plan", "stack": {"files": ["absent.yaml"]}, "collection": "9.8"}
    assert "older than the collection" in asked.ask(newer)["msg"]
    (tmp_path / "src/bayplan/__init__.py").write_text('__version__ = "9.9"\n')
    assert "absent.yaml" in asked.ask(newer)["msg"]
    until(lambda: pid not in asked.staying())
    assert asked.one()[1] == path
    pid, _ = asked.one()
    (tmp_path / "src/another.pth").touch()  # as an installation leaves one: what can be loaded is more than was known
    asked.ask()
    until(lambda: pid not in asked.staying())
    asked.one()
    umask = os.umask(0o037)
    try:
        asked.ask()
        until(lambda: len(asked.staying()) == 2)
    finally:
        os.umask(umask)
    asked.ask(HOME=str(tmp_path))  # where Python looks for packages of this user
    until(lambda: len(asked.staying()) == 3)


def test_to_look_for_those_that_were_killed_wakes_none_that_lives_and_waits_for_none(tmp_path):
    live, dead = tmp_path / "live", tmp_path / "dead"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(dead))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(live))
        listener.listen(0)
        listener.setblocking(False)
        remove_killed(tmp_path)
        with pytest.raises(BlockingIOError):  # nobody has knocked: one would stay for longer, or has no room for it
            listener.accept()[0].close()
        assert [*tmp_path.iterdir()] == [live]


def test_a_kernel_on_which_none_can_stay_has_its_answer(tmp_path, monkeypatch):
    def lacking(_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", lacking)
    assert answer_and_stay(lambda: 7, tmp_path / "socket", 1) == 7
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_ends_with_one_control_group_works_for_no_asker_of_another(asked):
    asked.ask()
    asked.one()
    group = f"/bpt-{os.getpid()}"
    try:
        asked.ask(before=lambda: cgroups.enter(group))
        until(lambda: len(asked.staying()) == 2)
    finally:
        for process in cgroups.members(group):
            process.send(signal.SIGTERM)
        assert cgroups.remove(group, patience_s=5)


def test_one_that_is_stopped_is_not_waited_for_and_takes_nothing_when_it_goes_on(asked):
    asked.ask()
    pid, _ = asked.one()
    os.kill(pid, signal.SIGSTOP)
    try:
        assert asked.ask()["failed"]
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: pid not in asked.staying())
    assert asked.one()
    assert asked.ask()["failed"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize(
    "wrapper",
    [
        ["unshare", "--mount"],
        ["setpriv", "--reuid=65534", "--clear-groups"],
        ["setpriv", "--bounding-set=-sys_admin"],
        ["setpriv", "--no-new-privs"],
    ],
)
def test_who_is_another_or_may_less_or_is_in_another_mount_namespace_is_not_heard(asked, wrapper):
    asked.ask()
    pid, path = asked.one()
    text = f"{LAUNCH.read_text().rpartition('if __name__')[0]}\nprint(answered({str(path)!r}))"
    modes = path.parent.stat().st_mode, path.stat().st_mode
    path.parent.chmod(0o755)
    path.chmod(0o666)
    try:
        done = subprocess.run(
            [*wrapper, sys.executable, "-c", text], input="{}", capture_output=True, text=True, check=False
        )
    finally:
        path.parent.chmod(modes[0])
        path.chmod(modes[1])
    assert (done.stdout, done.stderr) == ("None\n", "")
    assert list(asked.staying()) == [pid]
    assert asked.ask()["failed"]


@pytest.fixture
def anybodys():
    """A directory that other users reach, as they do not those of pytest."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.mark.parametrize("wrong", ["mode", "link", "owner"])
def test_no_request_goes_to_what_somebody_else_has_put_there(anybodys, wrong):
    if os.geteuid() != 0 and wrong == "owner":
        pytest.skip("needs root")
    as_user = ["setpriv", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    place, mine = anybodys / "bayplan-bridges", os.geteuid() or 65534
    text = f"{LAUNCH.read_text().rpartition('if __name__')[0]}\nprint([socket_of(['python'])])"

    def found():
        argv = [*as_user, sys.executable, "-c", text]
        given = {**os.environ, "XDG_RUNTIME_DIR": str(anybodys)}
        return subprocess.run(argv, env=given, cwd="/", capture_output=True, text=True, check=True).stdout.strip()

    place.mkdir(mode=0o700)
    os.chown(place, mine, -1)
    assert found().startswith(f"['{place}/")
    if wrong == "mode":
        place.chmod(0o750)
    elif wrong == "link":
        place.symlink_to(place.rename(anybodys / "elsewhere"))
    else:
        os.chown(place, 0, -1)
        place.chmod(0o777)
    assert found() == "['']"
