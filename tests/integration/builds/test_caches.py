"""Caches of RUN --mount=type=cache that several commands want, or one command twice."""

import fcntl
import os
import threading
from contextlib import contextmanager

import pytest

from bayplan.errors import RuntimeFailureError, StoppedError
from bayplan.runtime.native import build_mounts
from bayplan.runtime.native.images.build.executor import Command, Given, Workspace
from bayplan.runtime.native.images.build.runmounts import Mount
from bayplan.system import cgroups
from builds import write

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.mark.parametrize("sharing", ["locked", "private", "shared"])
def test_a_cache_that_is_mounted_at_two_places_is_one_and_the_command_does_not_wait_for_itself(core, context, sharing):
    mount = f"--mount=type=cache,id=k,sharing={sharing},target="
    command = f"{mount}/a {mount}/b echo 1 > /a/one && cat /b/one > /o"
    write(context, Dockerfile=f'FROM lab/base\nRUN {command}\nCMD ["cat", "/o"]\n')
    core.build(context)
    assert core.output() == ["1"]


def test_whoever_waits_for_a_cache_stops_when_the_build_does(core, context):
    mount = "--mount=type=cache,id=k,sharing=locked,target=/c"
    text = f"FROM lab/base AS first\nRUN {mount} true\n"
    write(context, Dockerfile=text)
    core.build(context)
    (place,) = (core.settings.state_root / "build-mounts").iterdir()
    write(
        context,
        Dockerfile=f"{text}RUN {mount} echo 2\nFROM lab/base AS second\nRUN sleep 1; false\n"
        "FROM lab/base\nCOPY --from=first /c /c\nCOPY --from=second /c /d\n",
    )
    with (place / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another build, for as long as it likes
        with pytest.raises(RuntimeFailureError, match="ended with exit code 1"):
            core.build(context)


def test_a_command_that_is_stopped_has_ended_before_another_gets_its_cache(core, context, monkeypatch):
    text = "FROM lab/base AS first\nRUN --mount=type=cache,sharing=locked,target=/c sleep 100\n"
    text += "FROM lab/base AS second\nRUN sleep 1; false\nFROM lab/base\n"
    write(context, Dockerfile=f"{text}COPY --from=first /c /c\nCOPY --from=second /c /d\n")
    held, running = build_mounts.StepMounts.held, {}

    @contextmanager
    def watched(self):
        try:
            with held(self):
                yield
        finally:
            command = " ".join(self.command.arguments)
            running[command] = cgroups.members(f"{core.settings.cgroup_parent}/{self.workspace.id}")

    monkeypatch.setattr(build_mounts.StepMounts, "held", watched)
    with pytest.raises(RuntimeFailureError):
        core.build(context)
    assert list(running.values()) == [(), ()]


def test_two_builds_that_fill_a_cache_at_the_same_time_have_the_same(core, tmp_path, monkeypatch):
    """The second must not put another directory under the first one's command."""
    command = Command(("true",), (), "", "/", (), mounts=(Given(Mount("cache", "/c", id="k")),))
    found = {}

    def use(number):
        given = build_mounts.StepMounts(core.settings, command, Workspace("w", tmp_path), tmp_path / f"run-{number}")
        with given.held():
            found[number] = given._places[0].stat().st_ino

    other = threading.Thread(target=use, args=(1,))

    def chown(*_):
        """What the first has made is not yet in its place."""
        if other.ident is None:
            other.start()
            other.join(1)

    monkeypatch.setattr(build_mounts.os, "chown", chown)
    use(0)
    other.join()
    (data,) = core.settings.state_root.glob("build-mounts/*/data")
    assert found == {0: data.stat().st_ino, 1: data.stat().st_ino}


def test_what_fails_while_a_cache_is_filled_leaves_no_cache(core, context):
    mount = "--mount=type=cache,id=k,from=lab/base,source=/nothing,target=/c"
    for _ in range(2):
        write(context, Dockerfile=f"FROM lab/base\nRUN {mount} true\n")
        with pytest.raises(Exception, match="/nothing is no directory"):
            core.build(context)
    (place,) = (core.settings.state_root / "build-mounts").iterdir()
    assert not (place / "data").exists()
    assert {path.name for path in place.iterdir() if path.is_dir()} <= {"fresh", "origin"}


def test_waiting_for_a_cache_ends_with_the_build(core, tmp_path):
    command = Command(("true",), (), "", "/", (), mounts=(Given(Mount("cache", "/c", id="k", sharing="locked")),))
    run = [build_mounts.StepMounts(core.settings, command, Workspace("w", tmp_path), tmp_path / "run")]
    stopped = Command(**{**vars(command), "is_stopped": lambda: True})
    run.append(build_mounts.StepMounts(core.settings, stopped, Workspace("w", tmp_path), tmp_path / "run"))
    with run[0].held(), pytest.raises(StoppedError), run[1].held():
        pytest.fail("two have it")
