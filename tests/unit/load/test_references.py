"""What one service says of others or of the host: links, hooks, devices by name, what is of Swarm."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from bayplan.errors import DeclarationError, Location
from bayplan.load.compose import load_text
from bayplan.models import Container, Stack


def read(tmp_path: Path, *attributes: str, more: str = "  b: {image: x}\n") -> Stack:
    body = "".join(f"    {line}\n" for line in attributes)
    text = f"services:\n  a:\n    image: x\n{body}{more}"
    return load_text(text, label="c.yaml", project_directory=tmp_path, project_name="p", environment={})


def one(tmp_path: Path, *attributes: str, more: str = "  b: {image: x}\n") -> Container:
    return read(tmp_path, *attributes, more=more).containers_of("a")[0]


def test_a_link_is_a_name_on_the_networks_that_both_are_on(tmp_path: Path) -> None:
    more = "  b: {image: x, networks: [n, o]}\n  c: {image: x, networks: [o]}\nnetworks: {n: {}, o: {}, q: {}}\n"
    stack = read(tmp_path, "links: ['b:store', b]", "networks: [n, q]", more=more)
    assert [(item.service, item.restart) for item in stack.containers_of("a")[0].depends_on] == [("b", True)]
    aliases = {place.network: place.aliases for place in stack.containers_of("b")[0].networks}
    assert aliases == {"p_n": ("b", "p-b-1", "store"), "p_o": ("b", "p-b-1")}


GPU = "deploy: {resources: {reservations: {devices: [%s]}}}"


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("gpus: all", ("nvidia.com/gpu=all",)),
        ("gpus: [{}]", ("nvidia.com/gpu=all",)),
        ("gpus: [{count: all, driver: amd}]", ("amd.com/gpu=all",)),
        ("gpus: [{count: 2}, {count: 1}]", ("nvidia.com/gpu=0", "nvidia.com/gpu=1")),
        (GPU % "{capabilities: [gpu], count: -1}", ("nvidia.com/gpu=all",)),
        (
            GPU % "{capabilities: [gpu, compute], device_ids: ['3', GPU-1f]}",
            ("nvidia.com/gpu=3", "nvidia.com/gpu=GPU-1f"),
        ),
        (GPU % "{driver: cdi, device_ids: [vendor.com/class=x]}", ("vendor.com/class=x",)),
    ],
)
def test_devices_become_the_names_of_their_drivers(tmp_path: Path, line: str, names: tuple[str, ...]) -> None:
    assert one(tmp_path, line).cdi_devices == names


def test_hooks(tmp_path: Path) -> None:
    made = one(tmp_path, "post_start: [{command: echo 'a b', environment: {A: 1}}]", "pre_stop: [{command: [x]}]")
    assert (made.post_start[0].command, made.post_start[0].environment) == (("echo", "a b"), {"A": "1"})
    assert made.pre_stop[0].command == ("x",)


def test_a_mac_address_is_that_of_the_first_network(tmp_path: Path) -> None:
    more = "networks: {n: {}, o: {}}\n"
    lines = ("networks: {n: {}, o: {priority: 5}}", "mac_address: 02:42:AC:11:65:43")
    made = one(tmp_path, *lines, more=more)
    assert [(place.network, place.mac_address) for place in made.networks] == [
        ("p_o", "02:42:ac:11:65:43"),
        ("p_n", None),
    ]


@pytest.mark.parametrize(
    ("lines", "more", "said"),
    [
        (("links: [gone]",), "", "'gone' is not declared"),
        (("links: [b]",), "  b: {image: x, network_mode: none}\n", "a and b have no network in common"),
        (("links: [b]", "network_mode: host"), "  b: {image: x}\n", "no network in common"),
        (("links: ['b:c']",), "  b: {image: x}\n  c: {image: x}\n", "'c' is that of c"),
        (("links: ['b:x', 'c:x']",), "  b: {image: x}\n  c: {image: x}\n", "'x' is that of b"),
        (("links: [b]",), "  b: {image: x, links: [a]}\n", "cycle"),
        (("gpus: some",), "", "must be a list"),
        (("gpus: [{driver: x}]",), "", "unknown driver 'x'"),
        (("gpus: [{count: 0}]",), "", "no number of devices"),
        (("gpus: [{count: 1, device_ids: [a]}]",), "", "exclude each other"),
        (("gpus: [{driver: cdi}]",), "", "needs device_ids"),
        (("gpus: [{device_ids: ['a/b']}]",), "", "nvidia.com/gpu=a/b"),
        ((GPU % "{capabilities: [tpu]}",), "", "devices of capability tpu have no known name"),
        (("post_start: [{user: x}]",), "", "names no command"),
        (("post_start: [{command: []}]",), "", "command"),
        (("pre_stop: [{command: x, timeout: 1s}]",), "", "unknown key 'timeout'"),
        (("mac_address: nonsense",), "", "nonsense"),
        (("mac_address: 02:42:ac:11:65:43", "network_mode: none"), "", "needs a network of its own"),
        (
            ("networks: {default: {mac_address: '02:42:ac:11:65:44'}}", "mac_address: 02:42:ac:11:65:43"),
            "",
            "has 02:42",
        ),
        (("storage_opt: {size: 1g, other: x}",), "", "unknown key 'other'"),
        (("cgroup_parent: ../up",), "", "cgroup_parent"),
        (("stop_signal: SIGRTMIN+99",), "", "unknown signal"),
    ],
)
def test_faults(tmp_path: Path, lines: tuple[str, ...], more: str, said: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        read(tmp_path, *lines, more=more)
    assert said in str(caught.value)
    assert isinstance(caught.value.where, Location)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("develop: {watch: []}", "services.a.develop"),
        ("deploy: {mode: global}", "services.a.deploy.mode"),
        ("deploy: {placement: {constraints: []}}", "services.a.deploy.placement"),
        ("deploy: {restart_policy: {condition: any, delay: 5s}}", "services.a.deploy.restart_policy.delay"),
        ("deploy: {resources: {reservations: {cpus: '1'}}}", "services.a.deploy.resources.reservations.cpus"),
    ],
)
def test_what_is_for_others_is_ignored_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, line: str, key: str
) -> None:
    caplog.set_level(logging.WARNING)
    made = one(tmp_path, line)
    assert made == one(tmp_path, *(("restart: always",) if "restart_policy" in line else ()))
    assert f"c.yaml:4: {key} is ignored" in caplog.text


def test_what_says_the_usual_is_not_worth_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one(tmp_path, "deploy: {mode: replicated, replicas: 1}")
    assert caplog.text == ""
