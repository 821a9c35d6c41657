"""Fault row 23: the engine switched under a stack is refused without an explicit move; volumes stay as they are."""

import os

import pytest

from bayplan import app
from bayplan.errors import ConflictError
from bayplan.load.compose import load_text
from bayplan.models import Settings
from bayplan.record import engines
from bayplan.record.journal import Journal
from bayplan.runtime.fake import FakeRuntime

TEXT = "services: {a: {image: x, volumes: ['data:/data']}}\nvolumes: {data: {}}\n"


class OtherRuntime(FakeRuntime):
    """The same in memory under another name."""

    def facts(self):
        return super().facts().model_copy(update={"engine": "other"})


@pytest.fixture
def settings(tmp_path):
    return Settings(state_root=tmp_path, run_root=tmp_path / "run")


def stack(tmp_path, text=TEXT):
    return load_text(text, label="c", project_directory=tmp_path, project_name="p", environment={})


def up(wanted, runtime, settings):
    made, outcome = app.converge(lambda: app.plan(wanted, runtime), runtime, settings)
    outcome.raise_failure()
    return made


def test_another_engine_is_refused_by_plan_and_apply(tmp_path, settings):
    """Fault row 23."""
    wanted, ours, theirs = stack(tmp_path), FakeRuntime(), OtherRuntime()
    up(wanted, ours, settings)
    both = "project p is run by the engine fake, and this is other"
    with pytest.raises(ConflictError, match=both):
        app.plan(wanted, theirs, settings=settings)
    with pytest.raises(ConflictError, match=both):
        up(wanted, theirs, settings)
    assert theirs.calls == []
    up(stack(tmp_path, TEXT.replace("image: x", "image: y")), ours, settings)


def test_a_move_is_a_destroy_and_an_apply(tmp_path, settings):
    """Fault row 23: the explicit migration; the volume stays with the first engine."""
    wanted, ours, theirs = stack(tmp_path), FakeRuntime(), OtherRuntime()
    up(wanted, ours, settings)
    _, outcome = app.converge(lambda: app.plan_destroy(wanted, ours), ours, settings)
    outcome.raise_failure()
    assert [str(item) for item in ours.resources] == ["volume p_data"]
    up(wanted, theirs, settings)
    with pytest.raises(ConflictError, match="run by the engine other, and this is fake"):
        app.plan(wanted, ours, settings=settings)


def test_part_of_a_project_that_goes_is_no_move(tmp_path, settings):
    """Fault row 23."""
    wanted, ours, theirs = stack(tmp_path, TEXT.replace("}}\nv", "}, b: {image: x}}\nv")), FakeRuntime(), OtherRuntime()
    up(wanted, ours, settings)
    made = up(stack(tmp_path), ours, settings)
    assert [step.action.value for step in made.steps] == ["delete"]
    with pytest.raises(ConflictError, match="run by the engine fake"):
        up(wanted, theirs, settings)


def test_two_at_once_have_one_owner(tmp_path):
    """Fault row 23: who notes it first has it, whatever each of them read before."""
    journals = [Journal(tmp_path / "record.db") for _ in range(2)]
    engines.claim(journals[0], "p", "native")
    engines.claim(journals[0], "p", "native")
    with pytest.raises(ConflictError, match="run by the engine native, and this is docker"):
        engines.claim(journals[1], "p", "docker")
    for one in journals:
        one.close()


def test_single_resources_and_an_older_journal_ask_nothing(tmp_path):
    """Fault row 23."""
    path = tmp_path / "record.db"
    engines.check(path, "p", "native")
    path.write_bytes(b"")
    engines.check(path, "p", "native")
    path.write_bytes(b"no database" * 100)
    engines.check(path, "p", "native")


@pytest.mark.host
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_native_core_and_another(tmp_path):
    """Fault row 23: what the native core made is left alone, byte by byte, by another engine."""
    from faults.core import small_core

    text = """\
name: sw
services:
  app:
    image: lab/busybox
    command: [sh, -c, 'echo mine > /data/file; exec sleep 600']
    network_mode: none
    stop_grace_period: 50ms
    volumes: ["data:/data"]
volumes: {data: {}}
"""
    with small_core(tmp_path, text) as core:
        core.call("apply")
        pid = core.query("SELECT pid FROM containers")[0][0]
        theirs = OtherRuntime()
        wanted = load_text(text, label="c", project_directory=tmp_path, project_name="sw", environment={})
        with pytest.raises(ConflictError, match="project sw is run by the engine native, and this is other"):
            up(wanted, theirs, core.settings)
        assert theirs.calls == []
        assert core.query("SELECT pid FROM containers")[0][0] == pid
        assert core.call("exec", "app", "cat", "/data/file") == "mine\n"
        core.call("apply")
        core.call("destroy")
        up(wanted, theirs, core.settings)
        assert "is run by the engine other, and this is native" in core.call("apply", code=2)
        _, outcome = app.converge(lambda: app.plan_destroy(wanted, theirs), theirs, core.settings)
        outcome.raise_failure()
        core.call("apply")
        assert core.call("exec", "app", "cat", "/data/file") == "mine\n"
