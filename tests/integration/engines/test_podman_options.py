"""Every option on a real Podman: a fresh apply of it leaves an empty plan, or it is refused before."""

import secrets
import shutil
from pathlib import Path

import pytest

import engines
from bayplan import app
from bayplan.models import Container, Image, Network, Stack, Volume
from bayplan.runtime.engine_api import options
from contract.hosts import Host, joined
from integration.engines.test_options import NETWORKS, NOT_HERE, lacking, one_of
from unit.runtime.engine_api.declared import SAMPLES

pytestmark = pytest.mark.host
NOT_IN_A_TEST = {
    ("ulimits", 0): "beside a declared limit Podman sets the others as high as only a whole root may",
    ("volumes_from", 0): "its other container is not there",
    ("secrets", 0): "the sample's files are not there",
    ("configs", 0): "the sample's files are not there",
}


@pytest.fixture
def pod():
    if reason := engines.why_not("podman"):
        pytest.skip(f"podman: {reason}")
    root = Path("/var/lib/bayplan-tests") / secrets.token_hex(4)
    root.mkdir(parents=True)
    try:
        with engines.serve("podman", root) as engine, joined(engine):
            host = Host("podman", root, engine)
            yield host
            host.clean()
    finally:
        shutil.rmtree(root, ignore_errors=True)


def samples(host):
    """A container for each sample that this engine has a word for."""
    for path in ("h", "r"):
        (host.root / path).mkdir(exist_ok=True)
    for name, values in SAMPLES.items():
        for number, value in enumerate(values):
            made = one_of(name, number, value, host.project)
            if (name, number) in {*NOT_HERE, *NOT_IN_A_TEST, *lacking()} or name in ("secrets", "configs"):
                continue
            if not list(options.gaps(made, host.runtime.engine, host.runtime.table)):
                text = made.model_dump_json()
                for path in ("h", "r"):
                    text = text.replace(f'"/{path}"', f'"{host.root}/{path}"')
                yield Container.model_validate_json(text)


def test_a_fresh_apply_of_each_option_leaves_an_empty_plan(pod):
    networks = [
        {"name": name, "subnet": subnet} | ({"enable_ipv6": True, "ipv6_subnet": "fd00::/64"} if name == "n" else {})
        for name, subnet in NETWORKS.items()
    ]
    stack = Stack(
        name=pod.project,
        images=(Image(name="lab/busybox"),),
        networks=tuple(Network.model_validate(one) for one in networks),
        volumes=tuple(Volume(name=name) for name in ("vol", "more")),
        containers=tuple(samples(pod)),
    )
    _, outcome = app.converge(lambda: app.plan(stack, pod.runtime), pod.runtime, pod.settings)
    assert [(str(step.resource), str(error)) for step, error in outcome.failed] == []
    again = app.plan(stack, pod.runtime)
    assert [(str(step.resource), step.why, step.fields) for step in again.steps] == []
