"""The five modules with the real ansible-playbook on the real core, and what the host then really has (testinfra)."""

import json
import os
import re
import secrets
import subprocess

import pytest

from integration.core.test_stack import ask
from plays import BIN

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
SLEEP = {"image": "lab/busybox", "command": ["sleep", "600"], "stop_grace_period": "100ms"}


def container(core, name="bpa-web"):
    """(state, first process) as the module's own program tells it."""
    from bayplan.engines import open_runtime
    from bayplan.models import Kind, ResourceId
    from bayplan.runtime.protocol import Scope

    wanted = ResourceId(kind=Kind.CONTAINER, name=name)
    with open_runtime(core.core) as runtime:
        found = runtime.observe(Scope(names=(wanted,))).get(wanted)
    return (found.status.state.value, found.status.pid) if found else None


def test_network(core, host):
    def links():
        found = host.check_output("ip -o link show type bridge")
        return re.findall(rf"\b({core.settings['interface_prefix']}\w*):", found)

    core.both("network", name="bpa-back", subnet="10.211.7.0/24")
    assert links()
    assert str(host.interface(links()[0]).addresses[0]) == "10.211.7.1"
    core.both("network", name="bpa-back", subnet="10.211.8.0/24")
    assert str(host.interface(links()[0]).addresses[0]) == "10.211.8.1"
    core.both("network", name="bpa-back", state="absent")
    assert links() == []


def test_volume(core, host):
    core.both("volume", name="bpa-data", labels={"backup": "daily"})
    [data] = core.state.glob("volumes/bpa-data/_data")
    (data / "kept").write_text("x")
    done = core.both("volume", name="bpa-data", labels={"backup": "weekly"})
    assert "labels[backup]: 'weekly'" in done["diff"]["after"]
    assert host.file(str(data / "kept")).content_string == "x"
    core.both("volume", name="bpa-data", state="absent")
    assert not host.file(str(data)).exists


def test_image(core, host):
    core.one("image", name="lab/busybox")
    assert core.one("image", name="lab/busybox", check=True)["changed"] is False
    gone = core.both("image", name="lab/busybox", state="absent")
    assert [item["action"] for item in gone["plan"]["steps"]] == ["delete"]
    missing = core.one("image", name="lab/busybox", pull="never")
    assert missing["failed"]
    assert "lab/busybox" in missing["msg"]


def test_a_registry_that_is_away_keeps_even_the_name_from_being_given(core):
    away = {"name": "lab/busybox", "repository": ["127.0.0.1:9/box:1"], "push": True}
    for arguments in (["--check"], []):
        refused, found = core.play(
            ("image", away), ("image_info", {"name": ["127.0.0.1:9/box:1"]}), arguments=arguments
        )
        assert "127.0.0.1:9" in refused["msg"]
        assert (refused["failed"], refused["changed"], found["exists"]) == (True, False, False)


def test_container_states(core, host):
    options = {**SLEEP, "name": "bpa-web"}
    core.both("container", **options, state="stopped")
    assert container(core) == ("created", None)
    core.both("container", **options)
    state, pid = container(core)
    assert state == "running"
    assert host.process.get(pid=pid).args.endswith("sleep 600")
    edited = core.both("container", **options, labels={"tier": "one"})
    assert container(core)[1] == pid, "a label changes in place"
    assert edited["diff"]["after"].endswith("labels[tier]: 'one'\n")
    core.both("container", **options, labels={"tier": "two"}, state="stopped")
    assert container(core) == ("exited", None)
    core.both("container", **options, labels={"tier": "three"})
    assert container(core)[0] == "running"
    core.both("container", **{**options, "command": ["sleep", "601"]}, labels={"tier": "three"}, state="stopped")
    assert container(core) == ("created", None)
    core.both("container", name="bpa-web", state="absent")
    assert container(core) is None


def test_container_with_everything_a_host_shows(core, host, tmp_path):
    (tmp_path / "shared").mkdir()
    port = 30000 + int(core.tag[:3], 16)
    web = {
        "name": "bpa-web",
        "image": "lab/busybox",
        "command": "sh -c 'echo up > /data/up; while :; do nc -l -p 7000 -e echo \"$GREETING\"; done'",
        "env": {"GREETING": "hello", "NUMBER": 7, "FLAG": True},
        "published_ports": [f"127.0.0.1:{port}:7000"],
        "volumes": ["bpa-data:/data", f"{tmp_path}/shared:/shared:ro"],
        "networks": ["bpa-back"],
        "restart_policy": False,
        "resources": {"pids": 50},
        "user": 0,
        "stop_grace_period": "100ms",
    }
    core.play(("network", {"name": "bpa-back"}), ("volume", {"name": "bpa-data"}))
    core.both("container", **web)
    pid = container(core)[1]
    environ = host.file(f"/proc/{pid}/environ").content_string.split("\0")
    assert {"GREETING=hello", "NUMBER=7", "FLAG=true"} <= set(environ)
    assert ask(port) == b"hello\n"
    assert host.file(str(core.state / "volumes/bpa-data/_data/up")).content_string == "up\n"
    assert re.search(r"^\S+ /shared \S+ ro,", host.check_output(f"cat /proc/{pid}/mounts"), re.MULTILINE)
    rules = host.check_output(f"nft list table inet {core.settings['nft_table']}")
    assert f"{port}" in rules
    moved = core.both("container", **{**web, "published_ports": [f"127.0.0.1:{port + 4096}:7000"]})
    assert container(core)[1] == pid, "ports change in place"
    assert moved["plan"]["steps"][0]["action"] == "update"
    rules = host.check_output(f"nft list table inet {core.settings['nft_table']}")
    assert f"{port + 4096}" in rules
    assert f" {port} " not in rules


def test_what_does_not_exist_is_refused_in_check_mode_as_well(core):
    cases = (
        ({"networks": ["bpa-none"]}, "network bpa-none does not exist"),
        ({"volumes": ["/nowhere/bpa:/data:ro"]}, "/nowhere/bpa"),
        ({"ports": ["70000:1"]}, "70000"),
        ({"command": "sh -c 'unclosed"}, "command"),
        ({"restart_policy": "sometimes"}, "restart"),
        ({"restart": "always"}, "use restart_policy"),
    )
    tasks = [("container", {**SLEEP, "name": "bpa-web", **options}) for options, _ in cases]
    for arguments in (["--check"], []):
        for refused, (options, said) in zip(core.play(*tasks, arguments=arguments), cases, strict=True):
            assert refused["failed"], options
            assert said in refused["msg"]
            assert not refused["changed"]
    assert container(core) is None


def test_a_failed_step_says_what_was_done_before(core):
    failed = core.one("container", name="bpa-web", image="lab/busybox", command=["/no/such"], network_mode="none")
    assert failed["failed"]
    assert "/no/such" in failed["msg"] + failed["output"]
    assert failed["result"]["failed"] == ["container bpa-web"]
    assert failed["plan"]["steps"][0]["action"] == "create"
    assert failed["changed"] is False


def test_one_that_cannot_be_made_leaves_nothing(core):
    """Who it is to be is known only from its image."""
    failed = core.one("container", **SLEEP, name="bpa-web", network_mode="none", user="nosuch")
    assert "user 'nosuch' is not in the image's /etc/passwd" in failed["msg"]
    assert failed["changed"] is False
    assert container(core) is None


def test_a_command_on_a_terminal(core):
    web = {**SLEEP, "name": "bpa-web", "network_mode": "none"}
    ask = {"container": "bpa-web", "command": "sh -c 'read word; test -t 0 -a -t 1 && echo got $word; exit 4'"}
    slow = {"container": "bpa-web", "command": "sleep 30", "tty": True, "timeout": 1}
    _, told, killed, left = core.play(
        ("container", web),
        ("container_exec", {**ask, "tty": True, "stdin": "hello"}),
        ("container_exec", slow),
        ("container_exec", {**slow, "command": "true", "detach": True}),
    )
    assert (told["rc"], told["stdout_lines"][-1]) == (4, "got hello")
    assert (killed["rc"], killed["msg"]) == (124, "the command had not ended after 1s, and was killed")
    assert left["changed"]


def test_secrets_are_in_no_output_and_no_log(core):
    secret = f"hunter-{secrets.token_hex(4)}"
    options = {**SLEEP, "name": "bpa-web", "env": {"DB_PASSWORD": secret, "NAME": "bpa-web"}}
    first = core.play(("container", options), arguments=["-vvv"])[0]
    assert secret not in core.output
    # What -vvv shows of the arguments: quoted or not by the version of ansible-core, and nothing of them since 2.21.
    shown = re.findall(r'DB_PASSWORD"?: "?([^",\n]*)', core.output)
    assert set(shown) <= {"*" * 8}
    assert shown or "[core 2.1" not in core.output
    assert first["plan"]["steps"][-1]["resource"]["name"] == "bpa-web", "a name that equals a value stays readable"
    options["env"]["DB_PASSWORD"] = secret + "2"
    core.play(("container", options), arguments=["-vvv"])
    assert secret not in core.output
    assert "environment[DB_PASSWORD]" in core.output
    broken = core.play(("container", {**options, "nonsense": 1}), arguments=["-vvv"])[0]
    assert broken["failed"]
    assert secret not in core.output
    definition = {"services": {"web": {"image": "lab/busybox", "environment": [f"TOKEN={secret}"]}}}
    stack = {"definition": definition, "project_name": "bpa", "env": {"TOKEN": secret}}
    core.play(("stack", stack), arguments=["-vvv", "--check"])
    assert secret not in core.output


def test_arguments_of_more_than_a_pipe_holds(core):
    labels = {f"label{number}": "x" * 1000 for number in range(300)}
    assert core.both("volume", name="bpa-data", labels=labels)["changed"]
    labels["label7"] = "y"
    assert len(core.both("volume", name="bpa-data", labels=labels)["plan"]["steps"][0]["fields"]) == 1


def test_arguments_of_five_megabytes(core):
    text = "line of a large file\n" * 250_000
    copy = ("container_copy", {"container": "bpa-web", "container_path": "/bin/large", "content": text})
    web = {**SLEEP, "name": "bpa-web", "state": "stopped", "network_mode": "none"}
    _, first, again = core.play(("container", web), copy, copy)
    assert (first["changed"], again["changed"]) == (True, False), first.get("msg")
    [kept] = core.state.glob("containers/*/**/bin/large")
    assert kept.read_text() == text
    assert len(core.output) < 1_000_000, "a large difference is named, not shown"


def test_what_is_wrong_is_one_readable_failure(core, tmp_path):
    cases = (
        ("container", {"name": "bpa-web", "image": "lab/busybox", "privileged": "perhaps"}, "privileged"),
        ("container", {"name": "bpa-web", "image": "lab/busybox", "nonsense": 1}, "nonsense"),
        ("container", {"name": "bpa-web", "containers": []}, "mutually exclusive"),
        ("container", {"image": "lab/busybox"}, "name, containers"),
        ("container", {"name": "bpa-web", "image": "127.0.0.1:9/none:1"}, "127.0.0.1:9"),
        ("image", {"name": "bpa/x", "load_path": str(tmp_path / "none.tar")}, "none.tar"),
        ("image", {"name": "bpa/x", "source": "build"}, "needs build"),
        ("image", {"name": "lab/busybox", "archive_path": "box.tar"}, "must be absolute"),
        ("container", {"name": "bpa-web", "image": "Bad:::name"}, "not a repository name"),
        ("container_exec", {"container": "bpa-web"}, "argv, command"),
        ("container_copy", {"container": "bpa-web", "container_path": "etc", "content": ""}, "must be absolute"),
        ("volume_backup", {"volume": "bpa-none", "path": str(tmp_path / "x.tar")}, "bpa-none does not exist"),
        ("secret", {"name": "bpa-key"}, "data"),
        ("generation", {"project_name": "bpa", "rollback_to": "soon"}, "no generation"),
        ("host_info", {"engine": "docker", "engine_address": "unix:///nowhere/docker.sock"}, "/nowhere/docker.sock"),
    )
    for refused, (module, options, said) in zip(core.play(*((m, o) for m, o, _ in cases)), cases, strict=True):
        assert refused["failed"], (module, options)
        assert said in refused["msg"], (module, refused["msg"])
        assert not refused.get("changed"), (module, options)
    assert container(core) is None


def test_options_that_every_module_of_other_collections_has(core):
    """Through the action, and as a module of its own."""
    usual = {"debug": False, "timeout": 60, "api_version": "auto", "tls": False, "executable": "podman"}
    slow = {"async": 60, "poll": 1}
    made, again, there, refused, slowly = core.play(
        ("volume", {"name": "bpa-data", **usual}),
        ("volume", {"name": "bpa-data", **usual}, slow),
        ("volume_info", {"docker_host": "unix:///nowhere/docker.sock"}),
        ("volume", {"name": "bpa-none", "validate_certs": True}),
        ("volume", {"name": "bpa-none", "ca_path": "/etc/ca.pem"}, slow),
    )
    assert (made["changed"], again["changed"]) == (True, False)
    assert "/nowhere/docker.sock" in there["msg"]
    for failed, option in ((refused, "validate_certs"), (slowly, "ca_path")):
        assert failed["msg"].startswith(f"{option} of other collections")
        assert "engine_tls" in failed["hint"]
    assert not (core.state / "volumes/bpa-none").exists()


def test_what_podman_container_calls_otherwise(core):
    options = {"publish": ["127.0.0.1:0:80"], "label": {"tier": "front"}, "workdir": "/tmp", "sysctl": {}}
    options |= {"annotation": {"a": "b"}, "exposed": ["81"], "image": "lab/busybox"}
    options["ulimit"] = ["nofile:512:512"]
    made = core.both("container", name="bpa-web", state="present", **options)
    fields = core.one("container_info", name="bpa-web")["container"]["Config"]
    assert made["changed"]
    assert (fields["WorkingDir"], fields["Labels"]["tier"]) == ("/tmp", "front")
    cases = (
        ("container", {"name": "bpa-no", "image": "lab/busybox", "network": ["host"]}, "network of", "network_mode"),
        ("container", {"name": "bpa-no", "image": "lab/busybox", "timezone": "local"}, "timezone of", "TZ"),
        ("network", {"name": "bpa-no", "connected": ["a"]}, "connected of", "networks of each container"),
        ("volume", {"name": "bpa-no", "recreate": "always"}, "recreate of", "state: absent"),
        ("image", {"name": "bpa-no", "username": "u"}, "username of", "registry_login"),
        ("secret", {"name": "bpa-no", "data": "x", "force": True}, "force of", "always"),
    )
    for refused, (_, _, said, hint) in zip(core.play(*((m, o) for m, o, *_ in cases)), cases, strict=True):
        assert refused["msg"].startswith(said), refused
        assert hint in refused["hint"]
        assert not refused["changed"]


def test_what_docker_modules_ask_for_and_is_not_done_here(core):
    """Named with what to do instead, before a name that is missing for it."""
    stack = {"project_name": "bpa-no", "definition": {"services": {}}}
    cases = (
        ("container", {"name": "bpa-no", "purge_networks": False}, "purge_networks", "allow_more_present"),
        ("container", {"containers": [{"name": "bpa-no", "network": ["host"]}]}, "network of", "network_mode"),
        ("container_copy", {"container": "bpa-no", "local_follow": False}, "local_follow", "leads to"),
        ("host_info", {"verbose_output": True}, "verbose_output", "container_info"),
        ("image", {"path": "/x.tar"}, "path", "load_path"),
        ("image", {"name": "bpa-no", "dockerfile": "x"}, "dockerfile", "part of build"),
        (
            "image",
            {"name": "bpa-no", "build": {"path": "/x", "container_limits": {"memory": 1}}},
            "build.container",
            "",
        ),
        ("network", {"name": "bpa-no", "scope": "swarm"}, "scope", "overlay"),
        ("network", {"name": "bpa-no", "config_from": "other"}, "config_from", "says what it is"),
        ("prune", {"containers": True}, "containers", "container_info"),
        ("prune", {"images": True, "images_filters": {"label": "x"}}, "images_filters", "unused_images"),
        ("registry_login", {"config_path": "/x"}, "config_path", "REGISTRY_AUTH_FILE"),
        ("stack", {**stack, "build": "never"}, "build: never", "pull_policy"),
        ("stack", {**stack, "state": "absent", "remove_images": "local"}, "remove_images: local", "true removes"),
        ("stack", {"name": "bpa-no", "compose": [{"services": {}}]}, "name of", "project_name"),
        ("network", {"name": "bpa-no", "ipv6": True}, "ipv6", "enable_ipv6"),
        ("volume", {"volume_name": "bpa-no"}, "volume_name", "name"),
    )
    for slow in ({}, {"async": 60, "poll": 1}):
        some = cases if not slow else cases[:1] + cases[-1:]
        for refused, (_, _, said, hint) in zip(core.play(*((m, o, slow) for m, o, *_ in some)), some, strict=True):
            assert refused["msg"].startswith(said), refused
            assert "of other collections is not taken here" in refused["msg"]
            assert hint in refused["hint"]
            assert refused["hint"] in refused["msg"]
            assert not refused["changed"]


def test_paths_of_the_host_begin_at_its_root(core):
    """A task has no directory: ``./etc`` is not the host's /etc."""
    for refused in core.play(
        ("container", {**SLEEP, "name": "bpa-web", "volumes": ["./etc:/x"]}),
        ("container", {**SLEEP, "name": "bpa-web", "env_file": "etc/environment"}),
    ):
        assert refused["failed"]
        assert "absolute" in refused["msg"]
    assert container(core) is None


def test_results_are_as_documented(core, environment, tmp_path):
    """Also those with paths: what lies there on the controller says nothing of the target."""
    secrets_root = {**core.settings, "secrets_root": str(tmp_path / "secrets")}
    stack = {"project_name": "bpa", "definition": {"services": {"web": {**SLEEP, "network_mode": "none"}}}}
    archive = {"volume": "bpa-data", "path": str(tmp_path / "data.tar")}
    tasks = (
        ("container", {**SLEEP, "name": "bpa-web", "network_mode": "none"}),
        ("container_exec", {"container": "bpa-web", "command": "true"}),
        ("container_copy", {"container": "bpa-web", "container_path": "/etc/app", "content": "x"}),
        ("container_copy", {"container": "bpa-web", "container_path": "/etc/app", "dest": str(tmp_path / "app")}),
        ("container_info", {"name": "bpa-web"}),
        ("container_logs", {"container": "bpa-web"}),
        ("image_info", {"name": "lab/busybox"}),
        ("network", {"name": "bpa-back"}),
        ("network_info", {"name": "bpa-back"}),
        ("volume", {"name": "bpa-data"}),
        ("volume_info", {"name": "bpa-data"}),
        ("volume_backup", archive),
        ("volume_restore", archive),
        ("secret", {"name": "bpa-key", "data": "x", "settings": secrets_root}),
        ("stack", stack),
        ("stack_info", {"project_name": "bpa", "report": True}),
        ("generation", {"project_name": "bpa"}),
        ("drift_info", {"project_name": "bpa"}),
        ("prune", {"networks": True}),
        ("host_info", {}),
    )
    argv = [BIN / "ansible-doc", "--json", *{f"bayplan.containers.{name}" for name, _ in tasks}]
    said = json.loads(subprocess.run(argv, env=environment, capture_output=True, text=True, check=True).stdout)
    for (name, options), result in zip(tasks, core.play(*tasks), strict=True):
        assert not result.get("failed"), (name, result)
        documented = said[f"bayplan.containers.{name}"]["return"]
        told = {"changed", "failed", "diff", "msg", "stdout_lines", "stderr_lines"}
        assert result.keys() - told <= documented.keys(), (name, options)
        always = {key for key, entry in documented.items() if entry["returned"] == "always"}
        assert always <= result.keys(), (name, options)


def test_become(core):
    become = {"become": True, "become_method": "ansible.builtin.su"}
    assert core.play(("volume", {"name": "bpa-data"}, become))[0]["changed"]
    assert (core.state / "volumes/bpa-data/_data").is_dir()


def test_a_missing_command_is_named(core):
    [failed] = core.play(("volume", {"name": "bpa-none", "bayplan_command": "/nowhere/bayplan"}))
    assert failed["msg"].startswith("cannot run /nowhere/bayplan")
    assert failed["hint"]


def test_a_host_without_a_program_of_the_runtime_hears_of_the_role(core):
    [failed] = core.play(("network", {"name": "bpa-none"}, {"environment": {"PATH": "/nowhere"}}))
    assert "program crun is not installed" in failed["msg"]
    assert "bayplan.containers.runtime" in failed["hint"]
    assert failed["hint"] in failed["msg"]
    assert not failed["changed"]


@pytest.mark.parametrize("plugin", [True, False], ids=["by the action", "as a module"])
def test_a_host_without_the_package_hears_of_the_role(core, plugin):
    """Its interpreter has none, and nothing is where it is looked for."""
    bare = {
        "vars": {"ansible_python_interpreter": "/usr/bin/python3"},
        "environment": {"PATH": "/usr/bin:/bin", "PYTHONPATH": ""},
    }
    slow = {} if plugin else {"async": 30, "poll": 1}
    [failed] = core.play(("volume", {"name": "bpa-none"}, {**bare, **slow}))
    assert failed["msg"].startswith("bayplan is not installed on the target")
    assert "bayplan.containers.runtime" in failed["hint"]
    assert not failed["changed"]
    assert not (core.state / "volumes").exists()
