"""The plugin as a process: how it starts, what it accepts, what it says of bad input and of hosts that fail."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import engine_pb2, plugin_pb2, provider_pb2

import bayplan
from bayplan import __version__
from bayplan.pulumi.values import UNKNOWN, Secret, decode, encode
from plugin import CallError, Plugin, kinds, plugin

SLEEP = {"image": "lab/busybox", "command": ["sleep", "600"], "stopGracePeriod": "100ms", "networkMode": "none"}
NEVER = {"test": ["CMD", "false"], "interval": "100ms", "retries": 1000}
SLOW = {"image": "lab/busybox", "command": ["sleep", "600"], "healthcheck": NEVER, "network_mode": "none"}
PLUGIN = (sys.executable, "-m", "bayplan.pulumi")
host = pytest.mark.host


def test_start_handshake_and_schema():
    with plugin(None, argv=[sys.executable, "-m", "bayplan.pulumi"]) as started:
        assert started.stub.GetPluginInfo(Empty()).version == __version__
        shaken = started.stub.Handshake(provider_pb2.ProviderHandshakeRequest(engine_address="127.0.0.1:1"))
        assert (shaken.accept_secrets, shaken.accept_resources, shaken.accept_outputs) == (True, True, False)
        started.stub.Attach(plugin_pb2.PluginAttach(address="127.0.0.1:1"))
        package = json.loads(started.call("GetSchema").schema)
        assert package["name"] == "bayplan"
        with pytest.raises(CallError, match="not configured yet"):
            started.check("Container", SLEEP)
        told = started.call("Configure", args=encode({"host": "local"}))
        assert (told.acceptSecrets, told.acceptResources, told.acceptOutputs, told.supportsPreview) == (
            True,
            True,
            False,
            True,
        )


def test_the_folder_that_pulumi_starts():
    folder = Path(bayplan.__file__).parent / "pulumi/plugin"
    assert (folder / "PulumiPlugin.yaml").is_file()
    with plugin(None, argv=[sys.executable, folder, "127.0.0.1:1"]) as started:
        assert started.stub.GetPluginInfo(Empty()).version == __version__


def test_bad_input_is_told_by_its_path():
    with plugin({}) as started:
        _, wrong = started.check(
            "Container",
            {
                "image": "lab/busybox",
                "colour": "red",
                "ports": [{"target": "many"}, {"target": 80, "publish": 80}],
                "healthcheck": {"test": ["CMD"], "retries": 0},
                "mounts": [{"type": "bind", "source": "relative", "target": "/data"}],
            },
        )
        assert set(wrong) == {
            "colour",
            "ports[0].target",
            "ports[1].publish",
            "healthcheck.retries",
            "mounts[0].source",
        }
        assert "did you mean 'published'" in wrong["ports[1].publish"]
        _, wrong = started.check("Container", {**SLEEP, "networks": [{"network": "back"}]})
        assert wrong == {"networkMode": "network_mode and networks exclude each other"}
        _, wrong = started.check("Container", {"image": UNKNOWN, "networks": [{"network": UNKNOWN}], "dns": UNKNOWN})
        assert wrong == {}
        assert started.check("Secret", {"content": "a", "contentBase64": "YQ=="})[1].keys() == {"contentBase64"}
        assert started.check("Stack", {"definition": {}, "files": ["a"]})[1].keys() == {"files"}
        with pytest.raises(CallError, match="no resource bayplan:index:Ship"):
            started.check("Ship", {})


def test_names_are_made_once():
    with plugin({}) as started:
        first, _ = started.check("Volume", {}, name="My data!")
        assert first["name"].startswith("My-data-")
        assert started.check("Volume", {}, name="My data!") == (first, {})
        assert started.check("Volume", {}, olds=first, name="My data!", seed=b"other") == (first, {})
        successor, _ = started.check("Volume", {}, name="My data!", seed=b"other")
        assert successor["name"] != first["name"]
        named, _ = started.check("Volume", {"name": "mine"}, olds=first)
        assert named == {"name": "mine"}


def test_configuration_is_checked_and_compared():
    with plugin(None) as started:
        checked = started.call("CheckConfig", news=encode({"host": "http://x", "engine": "lxc", "wokers": "2"}))
        assert {one.property for one in checked.failures} == {"host", "engine", "wokers"}
        registries = json.dumps([{"registry": "r.example", "username": "u", "password": "p"}])
        given = {"host": "ssh://root@a", "workers": "2", "registries": registries, "version": "0.1.0"}
        checked = started.call("CheckConfig", news=encode(given))
        assert not checked.failures
        assert decode(checked.inputs) == {**given, "registries": Secret(registries)}
        started.call("Configure", args=encode({**given, "registries": Secret(registries)}))
        moved = started.call("DiffConfig", olds=encode(given), news=encode({**given, "host": "ssh://root@b"}))
        assert kinds(moved) == {"host": "update-replace"}
        other = started.call("DiffConfig", olds=encode(given), news=encode({**given, "host": "ssh://admin@a:2"}))
        assert kinds(other) == {"host": "update"}
        same = started.call("DiffConfig", olds=encode(given), news=encode(given))
        assert same.changes == same.DIFF_NONE
        with pytest.raises(CallError, match="no host to reach by ssh"):
            started.call("Configure", args=encode({"host": "ssh://-oProxyCommand=x"}))


def test_a_host_that_is_not_there():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        options = ["UserKnownHostsFile=/dev/null", "StrictHostKeyChecking=no"]
        with plugin({"host": f"ssh://root@127.0.0.1:{port}", "sshOptions": json.dumps(options)}) as started:
            inputs = started.checked("Volume", {"name": "data"})
            assert started.create("Volume", inputs, preview=True) == ("data", {"name": "data", "defects": UNKNOWN})
            with pytest.raises(CallError, match=r"(?s)host 127.0.0.1: no bridge answers.*Connection refused") as told:
                started.create("Volume", inputs)
            assert (told.value.code, told.value.partly) == ("UNAVAILABLE", None)


@host
def test_warnings_reach_the_engine(core, engine):
    service = {"image": "lab/busybox", "network_mode": "none", "command": ["echo", "${NOT_SET_HERE}"]}
    definition = {"services": {"web": service}}
    with plugin(core.configuration, argv=[*PLUGIN, "--tracing", "x", engine.address]) as started:
        for _ in range(2):
            started.invoke("getPlan", {"project": "shop", "definition": definition})
    ((severity, sentence),) = engine.said
    assert (severity, "NOT_SET_HERE" in sentence) == (engine_pb2.WARNING, True)


@host
def test_a_preview_of_a_create_says_what_the_host_would_refuse(core, engine):
    with plugin(core.configuration, argv=[*PLUGIN, engine.address]) as started:
        unfit = started.checked("Container", {**SLEEP, "runtime": "kata"})
        with pytest.raises(CallError, match="containers of this core are run by crun"):
            started.create("Container", unfit, preview=True)
        later = started.checked("Container", {"image": "lab/later", "networks": [{"network": "made-before-it"}]})
        assert started.create("Container", later, preview=True)[1]["state"] is UNKNOWN
        unknown = {**unfit, "image": UNKNOWN}  # what is not known yet is not judged
        assert started.create("Container", unknown, preview=True)[1]["state"] is UNKNOWN

        services = {"web": {"image": "lab/later", "ports": ["80:80"], "depends_on": ["db"]}}
        shop = started.checked("Stack", {"definition": {"services": services}})
        with pytest.raises(CallError, match="depends_on"):
            started.create("Stack", shop, preview=True)
        shop["definition"]["services"]["db"] = {"image": "lab/later"}
        assert started.create("Stack", shop, preview=True)[1]["services"] is UNKNOWN
        shop["definition"]["services"]["db"]["env_file"] = "/a/file/that/the/program/makes"
        assert started.create("Stack", shop, preview=True)[1]["services"] is UNKNOWN

        wanted = {"driver": "bridge", "subnet": "10.219.77.0/24", "name": "one"}
        inputs = started.checked("Network", wanted)
        id_, state = started.create("Network", inputs)
        other = started.checked("Network", {**wanted, "name": "two"})
        assert engine.said == []
        assert started.create("Network", other, preview=True)[0] == "two"
        ((severity, sentence),) = engine.said
        assert severity == engine_pb2.WARNING
        assert sentence.startswith("not possible on the host as it is now: ")
        assert "10.219.77.0/24" in sentence

        # The one that is in the way goes first: it is replaced.
        internal = {**inputs, "internal": True}
        found = started.diff("Network", id_, inputs, state, internal)
        assert (list(found.replaces), found.deleteBeforeReplace) == (["internal"], True)
        engine.said.clear()
        moved = {**other, "subnet": "10.219.77.0/25"}
        assert started.create("Network", moved, preview=True)[0] == "two"
        assert engine.said == []


def test_a_bridge_that_is_older_is_refused(tmp_path):
    old = tmp_path / "bridge"
    old.write_text('#!/bin/sh\necho \'{"bayplan": "0.0.9"}\'\nexec cat >/dev/null\n')
    old.chmod(0o755)
    with plugin({"remoteCommand": str(old)}) as started:
        inputs = started.checked("Volume", {"name": "data"})
        with pytest.raises(CallError, match=r"bayplan 0\.0\.9 there is older than the provider"):
            started.create("Volume", inputs)


@host
def test_failures_leave_nothing_orphaned(pulumi):
    holder = pulumi.checked("Container", {"image": "lab/busybox", **SLEEP, "name": "holder"})
    held = {key: value for key, value in holder.items() if key != "networkMode"}
    held["ports"] = [{"target": 80, "published": 39787, "hostIp": "127.0.0.1"}]
    pulumi.create("Container", held)
    with pytest.raises(CallError, match="39787") as told:
        pulumi.create("Container", {**held, "name": "second"})
    assert told.value.partly is None
    assert pulumi.read("Container", "second") is None
    with pytest.raises(CallError, match="lab/none") as told:
        pulumi.create("Container", {**holder, "name": "third", "image": "lab/none:1"})
    assert told.value.partly is None
    broken = {**holder, "name": "fourth", "command": ["/no/such"], "environment": {"KEY": Secret("hush")}}
    with pytest.raises(CallError, match="/no/such") as told:
        pulumi.create("Container", broken)
    assert told.value.partly.id == "fourth"
    unhealthy = {
        **holder,
        "name": "fifth",
        "healthcheck": {"test": ["CMD", "cat", "/no"], "interval": "1s", "retries": 1},
        "environment": {"KEY": Secret("hush")},
        "wait": "healthy",
    }
    with pytest.raises(CallError, match="unhealthy") as told:
        pulumi.create("Container", unhealthy)
    partly = told.value.partly
    assert (partly.id, len(partly.reasons)) == ("fifth", 1)
    state = decode(partly.properties)
    assert state["environment"] == {"KEY": Secret("hush")}
    mended = {**unhealthy, "healthcheck": {"test": ["CMD", "true"], "interval": "50ms"}}
    found = pulumi.diff("Container", "fifth", decode(partly.inputs), state, mended)
    assert found.changes == found.DIFF_SOME
    assert pulumi.update("Container", "fifth", unhealthy, state, mended)["health"] == "healthy"


@host
def test_many_at_once_are_one_batch_each_answered_for_itself(pulumi):
    def make(number):
        inputs = {"image": "lab/busybox", **SLEEP, "name": f"c{number}", "labels": {"number": str(number)}}
        if number == 3:
            inputs["image"] = "lab/none"
        try:
            made[number] = pulumi.create("Container", inputs)[1]
        except CallError as error:
            made[number] = error

    made = {}
    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    failed = made.pop(3)
    assert "lab/none" in str(failed)
    assert {number: state["labels"]["number"] for number, state in made.items()} == {
        number: str(number) for number in (0, 1, 2, 4, 5, 6, 7)
    }


@host
@pytest.mark.parametrize(
    ("kind", "container", "waiting"),
    [
        ("Container", "slow", {**SLEEP, "name": "slow", "healthcheck": NEVER, "wait": "healthy"}),
        ("Stack", "slow-web-1", {"project": "slow", "definition": {"services": {"web": SLOW}}}),
    ],
)
def test_cancel_ends_what_is_waited_for(pulumi, kind, container, waiting):
    told = []

    def make():
        try:
            pulumi.create(kind, waiting)
        except CallError as error:
            told.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    while pulumi.read("Container", container) is None:
        time.sleep(0.05)
    pulumi.cancel()
    thread.join(30)
    assert not thread.is_alive()
    assert told[0].partly.id == "slow"


@host
def test_a_plugin_that_is_killed_takes_its_bridge_along(core):
    with plugin(core.configuration) as started:
        started.read("Volume", "data")
        tasks = Path(f"/proc/{started.process.pid}/task").glob("*/children")
        (bridge,) = (int(number) for task in tasks for number in task.read_text().split())
        started.process.kill()
        started.process.wait()
        deadline = time.monotonic() + 20
        while Path(f"/proc/{bridge}/cmdline").exists() and Path(f"/proc/{bridge}/cmdline").read_bytes():
            assert time.monotonic() < deadline
            time.sleep(0.02)


STRANGER = """
import os, sys
import grpc
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import provider_pb2_grpc
os.setgid(65534), os.setuid(65534)
stub = provider_pb2_grpc.ResourceProviderStub(grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}"))
try:
    print(stub.GetPluginInfo(Empty()).version)
except grpc.RpcError as error:
    print(error.details())
"""


@host
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_no_other_user_may_ask():
    with plugin(None) as started:
        stranger = [sys.executable, "-c", STRANGER, str(started.port)]
        said = subprocess.run(stranger, capture_output=True, text=True, check=True).stdout
        assert said.startswith("user 65534 may not ask this plugin")
        assert started.stub.GetPluginInfo(Empty()).version == __version__


@host
def test_secrets_are_in_no_output(core, tmp_path):
    log = tmp_path / "log"
    argv = [sys.executable, "-m", "bayplan.pulumi", "127.0.0.1:1"]
    with log.open("wb") as said:
        started = Plugin(core.configuration, argv=argv, stderr=said)
    inputs = started.checked("Container", {"image": "lab/busybox", **SLEEP, "environment": {"A_TOKEN": "hush-hush"}})
    started.create("Container", inputs)
    with pytest.raises(CallError) as told:
        started.create("Container", {**inputs, "name": "two", "environment": {"A_TOKEN": Secret(["hush-hush"])}})
    started.close()
    assert "hush-hush" not in str(told.value)
    assert b"hush-hush" not in log.read_bytes()
