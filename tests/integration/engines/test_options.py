"""Every option on a real dockerd: a fresh apply of it leaves an empty plan, and what it says is so."""

from pathlib import Path

import pytest

from bayplan import app
from bayplan.models import Container, Image, Network, Stack, Volume
from bayplan.runtime.engine_api import options
from unit.runtime.engine_api.declared import SAMPLES

pytestmark = pytest.mark.host
NETWORKS = {"n": "10.98.1.0/24", "z": "10.98.2.0/24", "b": "10.99.0.0/24"}
NOT_HERE = {
    ("cdi_devices", 0): "there is no such device",
    ("volumes_from", 0): "there is no container named other",
    ("logging", 2): "there is no journal to write to",
    ("mounts", 3): "what a test's engine sees is mounted private: nothing passes to a slave",
}
NEEDS_ALL_CAPABILITIES = {("cap_add", 1), ("privileged", 0), ("oom_score_adj", 0)}
RUN = ("sleep", "600")


def lacking():
    """What needs more than root has on this host."""
    held = int(next(line for line in Path("/proc/self/status").read_text().splitlines() if "CapBnd" in line)[7:], 16)
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    return () if held == (2 << last) - 1 else NEEDS_ALL_CAPABILITIES


def one_of(name, number, value, project):
    """A container with one option more than it needs to run."""
    values = {"command": RUN, "stop_grace_period": "0s", name: value}
    if name == "command":
        values["command"] = value if value and value[0] == "sleep" else ("sh", "-c", "sleep 600")
    if name == "entrypoint":
        values |= {"entrypoint": value and ("sleep",), "command": RUN if not value else ("600",)}
    return Container.model_validate({"name": f"{project}-{name}-{number}", "image": "lab/busybox", **values})


@pytest.fixture
def everything(dock, tmp_path):
    """A stack with a container for each sample that this engine has a word for."""
    engine = dock.runtime.engine
    containers = []
    for name, values in SAMPLES.items():
        for number, value in enumerate(values):
            made = one_of(name, number, value, dock.project)
            if (
                (name, number) in {*NOT_HERE, *lacking()}
                or list(options.gaps(made, engine))
                or name in ("secrets", "configs")
            ):
                continue
            containers.append(made)
    for path in ("/h", "/r"):
        (tmp_path / path[1:]).mkdir()
    text = [
        one.model_dump_json().replace('"/h"', f'"{tmp_path}/h"').replace('"/r"', f'"{tmp_path}/r"')
        for one in containers
    ]
    containers = [Container.model_validate_json(one) for one in text]
    networks = [
        Network.model_validate(
            {"name": name, "subnet": subnet}
            | ({"enable_ipv6": True, "ipv6_subnet": "fd00::/64"} if name == "n" else {})
        )
        for name, subnet in NETWORKS.items()
    ]
    return Stack(
        name=dock.project,
        images=(Image(name="lab/busybox"),),
        networks=tuple(networks),
        volumes=tuple(Volume(name=name) for name in ("vol", "more")),
        containers=tuple(containers),
    )


def test_a_fresh_apply_of_each_option_leaves_an_empty_plan(dock, everything):
    made, outcome = app.converge(lambda: app.plan(everything, dock.runtime), dock.runtime, dock.settings)
    assert [(str(step.resource), str(error)) for step, error in outcome.failed] == []
    assert len(made.steps) == len(everything.containers) + 5
    again = app.plan(everything, dock.runtime)
    assert [(str(step.resource), step.why, step.fields) for step in again.steps] == []
    assert not again.noted
