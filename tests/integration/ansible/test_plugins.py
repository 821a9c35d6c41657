"""Connection, inventory, lookups and filters with Ansible's own commands, on containers of the real core."""

import hashlib
import hmac
import json
import os
import secrets
import signal
import subprocess
import sys
from contextlib import nullcontext

import pytest
import yaml

from plays import BIN, TOP
from sshd import MISSING, sshd
from stayed import has_worked, mark, staying, until

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
# By ssh too, where nothing of this process's environment is: the package of this checkout.
COMMAND = f"env PYTHONPATH={TOP}/src {sys.executable} -m bayplan"
# The host's programs, Python among them, in a container: modules run there as on any host.
PROGRAMS = ["/usr:/usr:ro", "/lib:/lib:ro", "/lib64:/lib64:ro"]
SLEEP = {"image": "lab/busybox", "command": ["sleep", "600"], "stop_grace_period": "100ms", "network_mode": "none"}


@pytest.fixture
def shop(core):
    """A project of two services: one with Python, one of busybox alone."""
    (core.directory / "passwd").write_text("root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/tmp:/bin/sh\n")
    mounts = [*PROGRAMS, f"{core.directory}/passwd:/etc/passwd:ro"]
    services = {
        "web": {**SLEEP, "labels": {"tier": "front"}, "volumes": mounts, "tmpfs": ["/tmp", "/root", "/var/tmp"]},
        "store": {**SLEEP, "labels": {"tier": "back"}, "container_name": "bpa-store"},
    }
    assert core.play(("stack", {"definition": {"services": services}, "project_name": "bpa"}))[0]["changed"]
    return core


def inventory(core, **options):
    """A file of the inventory plugin, with what reaches this core."""
    file = core.directory / "shop.containers.yml"
    given = {"plugin": "bayplan.containers.containers", "bayplan_command": COMMAND, "settings": core.settings}
    file.write_text(yaml.safe_dump({**given, "strict": True, **options}))
    return file


def run(core, *argv, code=0, **more):
    done = subprocess.run(
        [BIN / argv[0], *argv[1:]],
        env={**core.environment, **more},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=core.directory,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def listed(core, file, **more):
    return json.loads(run(core, "ansible-inventory", "-i", file, "--list", "--export", **more))


def plain(value):
    """Without the marks of what is not to be templated."""
    if isinstance(value, dict):
        return (
            value["__ansible_unsafe"] if set(value) == {"__ansible_unsafe"} else {k: plain(v) for k, v in value.items()}
        )
    return [plain(item) for item in value] if isinstance(value, list) else value


def playbook(core, file, hosts, *tasks, code=0, arguments=(), **keywords):
    """The results of raw tasks and modules on hosts of an inventory; each host's last, by task."""
    steps = [{**task, "register": f"r{number}"} for number, task in enumerate(tasks)]
    names = ", ".join(f"'r{number}': r{number}" for number in range(len(tasks)))
    save = {
        "content": f"{{{{ {{{names}}} | to_json }}}}",
        "dest": str(core.directory / "{{ inventory_hostname }}.json"),
    }
    steps.append({"ansible.builtin.copy": save, "delegate_to": "localhost", "connection": "local"})
    steps[-1]["vars"] = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    book = core.directory / "book.yml"
    book.write_text(yaml.safe_dump([{"hosts": hosts, "gather_facts": False, "tasks": steps, **keywords}]))
    core.output = run(core, "ansible-playbook", "-i", file, book, *arguments, code=code)
    return {path.stem: json.loads(path.read_text()) for path in core.directory.glob("bpa-*.json")}


def test_containers_are_hosts_in_groups(shop):
    file = inventory(
        shop,
        labels=["tier"],
        keyed_groups=[{"key": "bayplan_image", "prefix": "image"}],
        compose={"where": "bayplan_labels.tier | upper"},
        groups={"fronts": "bayplan_service == 'web'"},
        cache=True,
        cache_plugin="ansible.builtin.jsonfile",
        cache_connection=str(shop.directory / "cache"),
    )
    found = plain(listed(shop, file))
    groups = {name: entry["hosts"] for name, entry in found.items() if entry.get("hosts")}
    assert groups["project_bpa"] == groups["image_lab_busybox"] == groups["state_running"] == ["bpa-store", "bpa-web-1"]
    assert groups["service_web"] == groups["label_tier_front"] == groups["fronts"] == ["bpa-web-1"]
    known = found["_meta"]["hostvars"]["bpa-web-1"]
    assert known["ansible_connection"] == "bayplan.containers.container"
    assert (known["where"], known["bayplan_project"], known["bayplan_state"]) == ("FRONT", "bpa", "running")
    shop.play(("stack", {"project_name": "bpa", "state": "absent"}))
    assert plain(listed(shop, file)) == found, "from the cache"
    fresh = run(shop, "ansible-inventory", "-i", file, "--list", "--flush-cache")
    assert "bpa-web-1" not in fresh
    file = inventory(shop, bayplan_command="/nowhere/bayplan")
    argv = [BIN / "ansible-inventory", "-i", file, "--list"]
    done = subprocess.run(argv, env=shop.environment, capture_output=True, text=True, check=False)
    assert "containers of local: cannot run /nowhere/bayplan" in done.stderr


def test_tasks_within_containers(shop):
    file = inventory(shop)
    secret = f"geheim-{secrets.token_hex(4)} $x"
    big = shop.directory / "big"
    big.write_bytes(os.urandom(3 << 20))
    found = playbook(
        shop,
        file,
        "all",
        {"ansible.builtin.raw": 'echo "$A"; echo $PWD', "vars": {"bayplan_exec_environment": {"A": secret}}},
        {"ansible.builtin.raw": "cat /proc/self/status", "vars": {"ansible_user": "1000:1000"}},
        {"ansible.builtin.raw": "exit 7", "failed_when": False},
        {"ansible.builtin.raw": "sleep 30", "vars": {"bayplan_command_timeout": 1}, "ignore_unreachable": True},
        # What needs Python, in the container that has it; files without pipelining too.
        {"ansible.builtin.copy": {"src": str(big), "dest": "/tmp/big"}, "when": "bayplan_service == 'web'"},
        {
            "ansible.builtin.command": "sha256sum /tmp/big",
            "when": "bayplan_service == 'web'",
            "vars": {"ansible_pipelining": False},
        },
        {
            "ansible.builtin.fetch": {"src": "/tmp/big", "dest": f"{shop.directory}/back", "flat": True},
            "when": "bayplan_service == 'web'",
        },
        {
            "ansible.builtin.command": "/bin/busybox id -un",
            "become": True,
            "become_method": "ansible.builtin.su",
            "become_user": "app",
            "vars": {"ansible_become_exe": "/bin/busybox su", "ansible_user": "0", "ansible_admin_users": ["0"]},
            "when": "bayplan_service == 'web'",
        },
        vars={"ansible_python_interpreter": "/usr/bin/python3", "ansible_remote_tmp": "/tmp/.ansible"},
        arguments=["-vvv"],
    )
    assert found["bpa-web-1"]["r7"]["stdout"] == "app"
    for results in found.values():
        assert results["r0"]["stdout_lines"] == [secret, "/"]
        assert "Uid:\t1000" in results["r1"]["stdout"]
        assert results["r2"]["rc"] == 7
        assert results["r3"]["unreachable"]
        assert "no end after 1 s" in results["r3"]["msg"]
    digest = hashlib.sha256(big.read_bytes()).hexdigest()
    assert found["bpa-web-1"]["r5"]["stdout"].split()[0] == digest
    assert hashlib.sha256((shop.directory / "back").read_bytes()).hexdigest() == digest


def test_testinfra_looks_from_within(shop):
    """The example of docs/ansible-testing.md."""
    file = inventory(shop)
    look = (
        "import testinfra\n"
        f"host = testinfra.get_host('ansible://bpa-web-1?ansible_inventory={file}')\n"
        "assert host.run('cat /proc/1/cmdline').stdout.startswith('sleep')\n"
    )
    variables = {"ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3", "PATH": f"{BIN}:{shop.environment['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-c", look],
        env={**shop.environment, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=shop.directory,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_container_that_is_not_there_is_unreachable(shop):
    shop.play(("container", {"name": "bpa-lone", **SLEEP, "state": "stopped"}))
    file = inventory(shop, states=[])
    playbook(shop, file, "bpa-lone", {"ansible.builtin.raw": "true"}, code=4)
    assert "container bpa-lone is created" in shop.output


@pytest.mark.skipif(MISSING, reason="needs openssh-server")
def test_containers_of_another_host(shop):
    with sshd(shop.directory / "sshd") as (address, path):
        place = address.removeprefix("ssh://")
        file = inventory(shop, places=["local", place])
        shop.environment = {**shop.environment, "PATH": path}
        argv = [BIN / "ansible-inventory", "-i", file, "--list", "--export"]
        done = subprocess.run(argv, env=shop.environment, capture_output=True, text=True, check=True)
        assert "bpa-store@" in done.stdout, done.stderr
        found = plain(json.loads(done.stdout))
        here, there = "bpa-store@local", f"bpa-store@{place.partition('@')[2].replace(':', '-')}"
        assert {here, there} <= set(found["_meta"]["hostvars"])
        secret = f"geheim-{secrets.token_hex(4)} 'x'"
        (shop.directory / "one").write_text("carried\n")
        run(shop, "ansible", "-i", file, there, "-m", "ansible.builtin.raw", "-a", "true")
        said = run(
            shop,
            *("ansible", "-i", file, there, "-m", "ansible.builtin.raw", "-a", "echo $A"),
            *("-e", json.dumps({"bayplan_exec_environment": {"A": secret}})),
        )
        assert secret in said


def test_plans_are_shown_as_lines(core):
    core.environment = {**core.environment, "ANSIBLE_CALLBACKS_ENABLED": "bayplan.containers.plans"}
    secret = secrets.token_hex(8)
    options = {**SLEEP, "name": "bpa-web", "env": {"DB_PASSWORD": secret, "NAME": "one"}}
    edited = {**options, "env": {"DB_PASSWORD": secret + "2", "NAME": "two"}}
    named = ("image", {"name": "lab/busybox", "tags": ["lab/other:1"]})
    core.play(("container", options), ("container", edited), ("container", edited), named, named)
    said = [line.strip() for line in core.output.splitlines()]
    assert "localhost:   + create container bpa-web: declared, not on the host" in said
    assert "localhost:       environment[NAME]: 'one' -> 'two'" in said
    assert "localhost:   ~ tag lab/other:1" in said
    assert sum("to change" in line for line in said) == 3
    assert secret not in core.output


@pytest.fixture
def slow(core):
    """Options of a build that takes some seconds; it is told of each second."""
    core.environment = {
        **core.environment,
        "ANSIBLE_CALLBACKS_ENABLED": "bayplan.containers.plans",
        "BAYPLAN_PLANS_STILL_AFTER": "1",
    }
    text = "FROM lab/busybox\nRUN echo first\nRUN sleep 3\n"
    return {
        "name": "lab/slow",
        "build": {"context": str(core.directory), "dockerfile_inline": text, "network": "none"},
    }


TOLD = "localhost: image docker.io/lab/slow:latest: "


@pytest.mark.parametrize("silenced", [False, True], ids=["told", "silenced"])
def test_long_work_tells_how_far_it_is(core, slow, silenced):
    core.play(("image", slow, {"no_log": silenced}))
    assert "goes on" in core.output
    assert (TOLD in core.output) is not silenced
    assert not list((core.run / "telling").glob("*"))


@pytest.mark.skipif(MISSING, reason="needs openssh-server")
@pytest.mark.parametrize("shared", [True, False], ids=["one login", "a login each"])
def test_long_work_of_another_host_tells_how_far_it_is(core, slow, shared):
    with sshd(core.directory / "sshd") as (address, path):
        args = f"-o ControlMaster=auto -o ControlPersist=10s -o ControlPath={core.directory}/cp" if shared else "-C"
        core.environment = {**core.environment, "PATH": path, "ANSIBLE_SSH_ARGS": args}
        there = {"ansible_host": "127.0.0.1", "ansible_port": int(address.rpartition(":")[2])}
        there["ansible_python_interpreter"] = sys.executable
        package = {"environment": {"PYTHONPATH": f"{TOP}/src"}}
        (built,) = core.play(("image", slow, package), connection="ssh", vars=there)
        assert built["changed"]
        assert TOLD in core.output
        assert not list((core.run / "telling").glob("*"))


@pytest.mark.parametrize("way", ["local", "ssh"])
def test_one_bridge_stays_for_the_tasks_of_a_play(core, way):
    if way == "ssh" and MISSING:
        pytest.skip("needs openssh-server")
    own = mark()
    name, _, value = own.partition("=")
    here = {"environment": {name: value, "PYTHONPATH": f"{TOP}/src"}}
    other = {"environment": {**here["environment"], "BAYPLAN_CONFIG": "/nowhere", "BAYPLAN_WORKERS": "none"}}
    tasks = (("volume", {"name": "bpa-data"}, {**here, "check_mode": True}), ("volume", {"name": "bpa-data"}, here))
    tasks = (*tasks, ("volume", {"name": "bpa-data"}, other), ("volume_info", {"name": "bpa-data"}, here))
    with sshd(core.directory / "sshd") if way == "ssh" else nullcontext(("", os.environ["PATH"])) as (address, path):
        core.environment = {**core.environment, "PATH": path}
        there = {"ansible_python_interpreter": sys.executable, "ansible_host": "127.0.0.1"}
        there |= {"ansible_port": int(address.rpartition(":")[2])} if address else {}
        foretold, made, refused, info = core.play(*tasks, connection=way, vars=there)
        ((pid, place),) = staying(own).items()
    assert (foretold["changed"], made["changed"], info["exists"]) == (True, True, True)
    assert "BAYPLAN_WORKERS" in refused["where"]
    assert has_worked(pid)
    os.kill(pid, signal.SIGTERM)
    until(lambda: not place.exists())


def test_lookups_and_filters(core):
    key, file = "k" * 16, core.directory / "secret"
    file.write_text("hunter2")
    compose = "services: {web: {image: 'lab/web:${TAG}', ports: ['8080:80']}}"
    asked = {
        "hash": "{{ lookup('bayplan.containers.secret_hash', 'hunter2', key=key) }}",
        "of_file": f"{{{{ lookup('bayplan.containers.secret_hash', '{file}', key=key, file=true) }}}}",
        "image": "{{ 'redis:7' | bayplan.containers.image_parts }}",
        "ports": "{{ ['8080:80', '127.0.0.1:5353:53/udp'] | bayplan.containers.port_parts }}",
        "mounts": "{{ ['data:/data:ro', '/srv:/www'] | bayplan.containers.mount_parts }}",
        "declared": "{{ compose | bayplan.containers.compose_declaration('shop', env={'TAG': 3}) }}",
    }
    book = core.directory / "book.yml"
    save = {"content": "{{ asked | to_json }}", "dest": str(core.directory / "asked.json")}
    tasks = [{"ansible.builtin.copy": save}]
    variables = {"asked": asked, "key": key, "compose": compose, "ansible_python_interpreter": sys.executable}
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": variables, "tasks": tasks}
    book.write_text(yaml.safe_dump([play]))
    run(core, "ansible-playbook", book)
    found = json.loads((core.directory / "asked.json").read_text())
    assert found["hash"] == found["of_file"] == hmac.new(key.encode(), b"hunter2", "sha256").hexdigest()
    assert found["image"]["full"] == "docker.io/library/redis:7"
    assert [(port["published"], port["protocol"]) for port in found["ports"]] == [(8080, "tcp"), (5353, "udp")]
    assert [(one["type"], one["read_only"]) for one in found["mounts"]] == [("volume", True), ("bind", False)]
    assert found["declared"]["containers"][0]["image"] == "lab/web:3"
    assert found["declared"]["containers"][0]["name"] == "shop-web-1"


def test_what_a_filter_refuses_is_said_once(core):
    wrong = {"msg": "{{ 'services: [' | bayplan.containers.compose_declaration('shop') }}"}
    play = {"hosts": "localhost", "gather_facts": False, "tasks": [{"ansible.builtin.debug": wrong}]}
    (core.directory / "book.yml").write_text(yaml.safe_dump([play]))
    (fatal,) = [line for line in run(core, "ansible-playbook", "book.yml", code=2).splitlines() if "fatal" in line]
    assert fatal.count("text:2: not valid YAML") == 1


def test_every_module_is_in_the_group_and_asks_directly():
    known = yaml.safe_load((TOP / "meta/runtime.yml").read_text())
    modules = {path.stem for path in (TOP / "modules").glob("*.py")}
    own = {path.stem for path in (TOP / "plugins/action").glob("*.py")} - {"direct"}
    assert set(known["action_groups"]["all"]) == modules
    routed = known["plugin_routing"]["action"]
    assert set(routed) | own == modules
    assert {entry["redirect"] for entry in routed.values()} == {"bayplan.containers.direct"}


def test_plugins_are_documented_and_say_their_licence(environment):
    kinds = {"connection": ["container"], "inventory": ["containers"], "lookup": ["digest", "secret_hash"]}
    kinds["callback"] = ["plans"]
    kinds["filter"] = ["compose_declaration", "image_parts", "mount_parts", "port_parts"]
    for kind, names in kinds.items():
        for name in names:
            argv = [BIN / "ansible-doc", "-t", kind, "--json", f"bayplan.containers.{name}"]
            done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
            documented = json.loads(done.stdout)[f"bayplan.containers.{name}"]
            assert documented["doc"]["short_description"]
            assert documented["examples"]
    for path in (TOP / "plugins").rglob("*.py"):
        text = path.read_text()
        controller = any(
            line.startswith(("from ansible.", "import ansible")) and "ansible.module_utils" not in line
            for line in map(str.strip, text.splitlines())
        )
        assert not controller or "SPDX-License-Identifier: GPL-3.0-or-later" in text, path
