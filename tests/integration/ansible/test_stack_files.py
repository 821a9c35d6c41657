"""The module stack with files from where Ansible runs, and tasks that ask the bridge without a module on the target."""

import json
import os
import secrets

import pytest
import yaml

from bayplan.engines import open_runtime
from bayplan.models import Kind
from bayplan.runtime.protocol import Scope

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
COMPOSE = """\
services:
  web:
    image: lab/busybox
    command: [sleep, "600"]
    stop_grace_period: 100ms
    network_mode: none
    env_file: [web.env]
    environment: {GREETING: {{ greeting | to_json }}, RAW: {{ raw | to_json }}}
    volumes: ["./pages:/pages:ro"]
"""


def first_process(core):
    with open_runtime(core.core) as runtime:
        [found] = runtime.observe(Scope(project="bpa")).of(Kind.CONTAINER)
    return found.status.pid


def test_files_of_the_controller(core, host, tmp_path):
    source, secret = tmp_path / "shop", f"geheim-{secrets.token_hex(4)}"
    (source / "pages").mkdir(parents=True)
    (source / "compose.yaml.j2").write_text(COMPOSE)
    (source / "web.env").write_text(f"PASSWORD={secret}\n")
    (source / "pages/index").write_text("one")
    (source / "pages/big").write_bytes(os.urandom(2 << 20))
    (source / "left.tmp").write_text("x")
    options = {"project_src": str(source), "remote_src": False, "templates": ["*.j2"], "exclude": ["*.tmp"]}
    options["project_name"] = "bpa"
    raw = "{{ lookup('ansible.builtin.pipe', 'id') }}"
    # What is marked unsafe by its origin: the result of a command.
    (tmp_path / "raw").write_text(raw)
    variables = {
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        "greeting": "{{ 'good' ~ ' day' }}",
        "raw": f"{{{{ lookup('ansible.builtin.file', '{tmp_path}/raw') }}}}",
    }
    task = ("stack", options)
    checked, done, again = core.play((*task, {"check_mode": True}), task, task, vars=variables, arguments=["-vvv"])
    assert (checked["changed"], done["changed"], again["changed"]) == (True, True, False), core.output
    assert checked["plan"]["steps"][0]["action"] == done["plan"]["steps"][0]["action"] == "create"
    assert checked["sent"] == done["sent"]
    assert done["sent"]["written"] == ["compose.yaml", "pages/big", "pages/index", "web.env"]
    assert again["sent"] == {"written": [], "removed": []}
    assert secret not in core.output
    pid = first_process(core)
    environment = host.file(f"/proc/{pid}/environ").content_string.split("\0")
    assert {"GREETING=good day", f"RAW={raw}", f"PASSWORD={secret}"} <= set(environment)
    assert host.file(str(core.state / "sent")).mode == 0o700
    # One page changes, another goes: only that is sent, and the container is left alone.
    (source / "pages/index").write_text("two")
    (source / "pages/big").unlink()
    checked, done = core.play((*task, {"check_mode": True}), task, vars=variables)
    assert checked["sent"] == done["sent"] == {"written": ["pages/index"], "removed": ["pages/big"]}
    assert (checked["plan"]["steps"], done["changed"]) == ([], True)
    assert host.file(f"/proc/{pid}/root/pages/index").content_string == "two"
    assert first_process(core) == pid
    gone = core.play(("stack", {"project_name": "bpa", "state": "absent", "remote_src": False}))[0]
    assert gone["changed"]


def test_what_cannot_be_sent_is_said(core, tmp_path):
    (tmp_path / "shop").mkdir()
    source = {"project_src": str(tmp_path / "shop"), "remote_src": False, "project_name": "bpa"}
    cases = (
        ({**source, "project_src": "/nowhere/bpa"}, "/nowhere/bpa"),
        ({**source, "templates": ["none.j2"]}, "none.j2"),
        ({**source, "files": ["../other.yaml"]}, "../other.yaml"),
        ({"project_src": str(tmp_path), "exclude": ["x"]}, "remote_src: false"),
        (source, "no Compose file"),
    )
    for failed, (_, said) in zip(core.play(*(("stack", options) for options, _ in cases)), cases, strict=True):
        assert failed["failed"]
        assert said in failed["msg"]


def test_a_task_needs_no_module_on_the_target(core):
    """Directly where input can be passed, with the task's environment; as a module where it cannot."""
    environment = {"environment": {"BAYPLAN_STATE_ROOT": str(core.state)}}
    task = ("volume", {"name": "bpa-data"})
    asynchronous = ("volume", {"name": "bpa-late"}, {"async": 60, "poll": 1})
    results = core.play(task, (*task, environment), asynchronous, arguments=["-vvv"])
    assert [result["changed"] for result in results] == [True, False, True]
    assert core.output.count("AnsiballZ")
    assert core.output.count("as an ordinary module: the task is asynchronous") == 1
    direct = core.output.partition("asynchronous")[0]
    assert "AnsiballZ" not in direct
    settings = {"BAYPLAN_ADDRESS_POOL": "nonsense"}
    [failed] = core.play(("volume", {"name": "bpa-x", "settings": {"workers": 2}}, {"environment": settings}))
    assert "address_pool" in failed["msg"]


def test_module_defaults_and_types_are_those_of_the_module(core, tmp_path):
    file = tmp_path / "loop.yml"
    file.write_text(yaml.safe_dump([{"name": "bpa-a"}, {"name": "bpa-b", "labels": {"n": 1, "yes": True}}]))
    looped = core.play(
        ("volume", "{{ item }}", {"loop": f"{{{{ lookup('ansible.builtin.file', '{file}') | from_yaml }}}}"}),
        ("volume", {"name": "bpa-c", "nonsense": 1}),
        ("volume", {"labels": {}}),
    )
    assert [item["changed"] for item in looped[0]["results"]] == [True, True]
    assert "nonsense" in looped[1]["msg"]
    assert "name" in looped[2]["msg"]
    assert json.dumps(looped)
