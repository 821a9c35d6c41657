"""Builds in a stack, by the command line: planned, applied once, healed after a kill."""

import os
import signal
import subprocess
import sys
import time

import pytest

from bayplan.system import cgroups
from builds import write

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
COMPOSE = """\
name: bpb
services:
  app:
    build: {context: app, args: {WORD: one}}
    command: [sh, -c, "cat /word; exec sleep 600"]
    stop_grace_period: 100ms
"""
DOCKERFILE = """\
FROM lab/base AS made
ARG WORD
COPY input /input
RUN echo $WORD > /word
FROM lab/base
COPY --from=made /word /word
"""


@pytest.fixture
def stack(core, tmp_path):
    write(tmp_path, **{"compose.yaml": COMPOSE}, app__Dockerfile=DOCKERFILE, app__input="1")
    yield tmp_path
    core.command(tmp_path / "compose.yaml", "destroy", "--volumes")


def test_a_stack_is_built_once_and_again_when_something_changed(core, stack):
    file = stack / "compose.yaml"
    said = core.command(file, "plan")
    assert "+ build     image bpb-app: not built yet" in said
    assert set(core.command(file, "apply", "--json")["done"]) == {
        "image bpb-app",
        "network bpb_default",
        "container bpb-app-1",
    }
    assert core.command(file, "exec", "app", "cat", "/word") == "one\n"
    assert "Nothing to do" in core.command(file, "plan")
    before = core.running(file)
    # What a step reads changed, what comes out did not: it is built, and the container stays.
    write(stack, app__input="2")
    said = core.command(file, "plan")
    assert "+ build     image bpb-app: the context changed" in said
    assert "re-create container bpb-app-1" in said
    said = core.command(file, "apply")
    assert "step 1/3 COPY input /input\n" in said
    assert "step 3/3 COPY --from=made /word /word (cached)" in said
    assert core.running(file) == before
    assert "Nothing to do" in core.command(file, "plan")
    write(stack, **{"compose.yaml": COMPOSE.replace("one", "two")})
    core.command(file, "apply", "--json")
    assert core.running(file) != before
    assert core.command(file, "exec", "app", "cat", "/word") == "two\n"


def test_without_a_name_what_the_services_are_built_from_is_built(core, stack):
    file = stack / "compose.yaml"
    assert core.command(file, "build", "app", "--json")["done"] == ["image bpb-app"]
    assert "Nothing to do: 1 resource is as declared." in core.command(file, "build")
    said = core.command(file, "plan")
    assert "to build" not in said
    assert "+ create    container bpb-app-1" in said


def test_builds_at_the_same_time_do_not_disturb_each_other(core, tmp_path):
    text = "FROM lab/base AS same\nRUN echo 1 > /1; sleep 0.2\nFROM same\nRUN ip route > /{0}\nCOPY {0} /c\n"
    compose = "name: bpm\nservices:\n"
    for name in ("a", "b", "c"):
        write(tmp_path, **{f"{name}__{name}": f"{name}\n", f"{name}__Dockerfile": text.format(name)})
        compose += f"  {name}: {{build: {name}, command: [sleep, '600'], network_mode: none, stop_grace_period: 0s}}\n"
    write(tmp_path, **{"compose.yaml": compose})
    file = tmp_path / "compose.yaml"
    try:
        assert len(core.command(file, "apply", "--json")["done"]) == 6
        assert "Nothing to do" in core.command(file, "plan")
        assert core.command(file, "exec", "b", "cat", "/1", "/c") == "1\nb\n"
    finally:
        core.command(file, "destroy")


def test_a_bad_dockerfile_is_refused_before_any_change(core, stack):
    write(stack, app__Dockerfile="FROM lab/base\nCOPY absent /x\n")
    said = core.command(stack / "compose.yaml", "apply", code=2)
    assert "app/Dockerfile:2: COPY: absent is not in the context" in said
    assert core.command(stack / "compose.yaml", "status", "--json") == []


def test_after_a_kill_the_next_run_removes_what_the_step_left(core, stack):
    write(stack, app__Dockerfile="FROM lab/base\nRUN sleep 600\n")
    file = stack / "compose.yaml"
    argv = [sys.executable, "-m", "bayplan", "-f", str(file), "apply", "--json"]
    process = subprocess.Popen(argv, env=core.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not cgroups.members(core.settings.cgroup_parent):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert core.left() != []
    write(stack, app__Dockerfile=DOCKERFILE)
    core.command(file, "apply", "--json")
    assert [item for item in core.left() if "/builds/" in item or "bayplan.build" in item] == []
    assert core.command(file, "exec", "app", "cat", "/word") == "one\n"


def test_a_kill_between_stages_leaves_only_what_the_next_run_finds(core, tmp_path):
    """Fault row 1: kill -9 while stages are built at the same time, on one network, after steps that were done."""
    text = """\
FROM lab/base AS one
RUN echo done > /one
RUN sleep 600
FROM lab/base AS two
ADD --chown=app:app file /two
RUN sleep 600
FROM lab/base
COPY --from=one /one /
COPY --from=two /two /
"""
    write(tmp_path, Dockerfile=text, file="x")
    argv = [sys.executable, "-m", "bayplan", "build", "-t", "lab/app", str(tmp_path)]
    process = subprocess.Popen(argv, env=core.environment(), stdout=subprocess.DEVNULL)
    runs = core.settings.run_root / "builds"
    deadline = time.monotonic() + 60
    while len([path for path in runs.glob("*/pid") if path.read_text()]) < 2:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert core.left() != []
    write(tmp_path, Dockerfile=text.replace("sleep 600", "true"))
    with core.runtime.lock("test"):
        assert core.left() == []
    assert core.runtime.database.query("SELECT * FROM endpoints") == []
    core.build(tmp_path)
    assert core.output(command=("cat", "/one", "/two")) == ["done", "x"]
