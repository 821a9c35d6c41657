"""Models of a swarm: each field says how it is changed, what cannot be is refused, nobody else pays for them."""

import subprocess
import sys

import pytest
from pydantic import SecretBytes, ValidationError

from bayplan.models import Change, FileGrant, change_of
from bayplan.models.swarm import (
    RESOURCE_MODELS,
    Config,
    OverlayNetwork,
    Secret,
    Service,
    ServicePort,
    SwarmStack,
    UpdatePolicy,
)


@pytest.mark.parametrize("model", RESOURCE_MODELS)
def test_every_field_says_what_it_is_and_how_a_change_of_it_is_applied(model):
    for name, info in model.model_fields.items():
        assert info.description, f"{model.__name__}.{name}"
        if name != "name":
            assert isinstance(change_of(info), Change)


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"name": "a.b"}, "pattern"),
        ({"name": "a" * 64}, "pattern"),
        ({"mode": "global", "replicas": 2}, "a task on each node"),
        ({"mode": "global", "placement": {"max_replicas_per_node": 1}}, "of replicated services"),
        ({"endpoint_mode": "dnsrr", "ports": [{"target": 80}]}, "need endpoint_mode vip"),
        ({"replicas": -1}, "greater than or equal to 0"),
        ({"update": {"max_failure_ratio": 2}}, "less than or equal to 1"),
    ],
)
def test_a_service_that_no_swarm_would_take_is_refused(values, what):
    with pytest.raises(ValidationError, match=what):
        Service.model_validate({"name": "a", "image": "x", **values})


def test_a_range_of_an_overlay_network_is_checked():
    with pytest.raises(ValidationError, match="is not in subnet"):
        OverlayNetwork.model_validate({"name": "n", "subnet": "10.0.0.0/24", "gateway": "10.1.0.1"})


def test_failing_updates_come_back_unless_declared_otherwise():
    assert UpdatePolicy().failure_action == "rollback"


def test_names_of_versions_tell_contents_and_keys_apart_and_nothing_else():
    def name(content, key=b"k", **more):
        return Secret(name="s", content=SecretBytes(content), **more).sealed(key).name

    assert name(b"one") == name(b"one", labels={"a": "b"}) != name(b"two")
    assert name(b"one") != name(b"one", key=b"other")
    assert Secret(name="s", external=True).sealed(b"k").name == "s"
    assert Config(name="c").sealed(b"k").name == "c"


def test_a_stack_is_sealed_once_whatever_it_is_asked():
    service = Service(
        name="x_a", image="i", secrets=(FileGrant(source="x_s", target="/s"),), ports=(ServicePort(target=1),)
    )
    stack = SwarmStack(name="x", secrets=(Secret(name="x_s", content=SecretBytes(b"one")),), services=(service,))
    sealed = stack.sealed(b"k")
    assert sealed.services[0].secrets[0].source == sealed.secrets[0].name
    assert [item.name for item in sealed.resources()] == [sealed.secrets[0].name, "x_a"]


def test_commands_of_one_host_do_not_build_them():
    program = (
        "import sys; import bayplan.cli.verbs, bayplan.reconcile.planner, bayplan.reconcile.apply, bayplan.app.history;"
        "from bayplan.cli.parser import parse; parse(['plan']);"
        "print([name for name in sys.modules if 'swarm' in name])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
