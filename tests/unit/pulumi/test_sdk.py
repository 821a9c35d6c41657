"""The Python SDK: as the schema says, and programs written with it."""

import json
import subprocess
import sys
from pathlib import Path

import pulumi
import pytest

TOP = Path(__file__).parents[3]
SDK = TOP / "sdk/python"


class Engine(pulumi.runtime.Mocks):
    """Remembers what a program asks for; a resource's outputs are its inputs and a few more."""

    def __init__(self):
        self.resources, self.calls = {}, {}

    def new_resource(self, args):
        self.resources[args.name] = args
        known = {"reference": "lab/web@sha256:1", "digest": "sha256:1", "name": args.name}
        ports = [{"hostIp": "0.0.0.0", "published": 8080, "target": 80, "protocol": "tcp"}]
        return f"{args.name}-id", {**known, "boundPorts": ports, **args.inputs}

    def call(self, args):
        self.calls[args.token] = args.args
        return {"name": "web", "state": "running", "boundPorts": [{"hostIp": "::", "published": 1}], "imageDigest": "x"}


@pytest.fixture
def engine():
    made = Engine()
    pulumi.runtime.set_mocks(made)
    return made


def test_it_is_as_the_schema_says():
    done = subprocess.run(
        [sys.executable, TOP / "tools/pulumi_sdk.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_resource_and_function_of_the_schema_is_there(sdk):
    schema = json.loads((TOP / "src/bayplan/pulumi/schema.json").read_text())
    for token in schema["resources"]:
        name = token.rpartition(":")[2]
        assert issubclass(getattr(sdk, name), pulumi.CustomResource)
        assert getattr(sdk, f"{name}Args")
    assert sdk.get_image_digest
    assert sdk.get_image_digest_output
    assert issubclass(sdk.Provider, pulumi.ProviderResource)
    assert json.loads((SDK / "pulumi_bayplan/pulumi-plugin.json").read_text())["version"] == schema["version"]


def test_names_of_ours_are_translated_and_those_of_the_user_are_not(sdk, engine):
    @pulumi.runtime.test
    def program():
        image = sdk.Image("web", name="lab/web:1")
        made = sdk.Container(
            "front",
            image=image.reference,
            labels={"some_label": "1"},
            environment={"LOG_LEVEL": pulumi.Output.secret("debug")},
            stop_grace_period="20s",
            ports=[sdk.PortArgs(target=80, host_ip="127.0.0.1"), {"target": 81, "host_ip": "::1"}],
            mounts=[{"type": "bind", "source": "/srv", "target": "/data", "create_host_path": True}],
            healthcheck=sdk.HealthCheckArgs(test=["CMD", "true"], start_period="1s"),
        )

        def check(bound):
            assert bound[0].host_ip == "0.0.0.0"
            assert bound[0].published == 8080
            return made.labels

        def same(labels):
            assert labels == {"some_label": "1"}

        return made.bound_ports.apply(check).apply(same)

    program()
    inputs = engine.resources["front"].inputs
    assert inputs["image"] == "lab/web@sha256:1"
    assert inputs["stopGracePeriod"] == "20s"
    assert inputs["ports"][0] == {"target": 80, "hostIp": "127.0.0.1", "published": 0, "protocol": "tcp"}
    assert inputs["ports"][1] == {"target": 81, "hostIp": "::1"}
    assert inputs["mounts"][0]["createHostPath"] is True
    assert inputs["healthcheck"] == {"test": ["CMD", "true"], "startPeriod": "1s"}
    assert inputs["labels"] == {"some_label": "1"}
    assert not [name for name in inputs if "_" in name]


def test_what_the_schema_calls_secret_is_marked(sdk, engine):
    @pulumi.runtime.test
    def program():
        made = sdk.Container("front", sdk.ContainerArgs(image="lab/web:1", environment={"A": "b"}))
        kept = sdk.Secret("token", content="hush")
        return pulumi.Output.all(made.environment.is_secret(), kept.content.is_secret(), made.image.is_secret()).apply(
            lambda found: pulumi.Output.from_input(found).apply(seen.append)
        )

    seen = []
    program()
    assert seen == [[True, True, False]]


def test_configuration_of_a_provider_travels_as_text(sdk, engine):
    @pulumi.runtime.test
    def program():
        registry = sdk.RegistryArgs(registry="r.example", username="u", password="p")
        return sdk.Provider("ship1", host="ssh://root@ship1", workers=4, registries=[registry]).urn

    program()
    inputs = engine.resources["ship1"].inputs
    assert inputs["host"] == "ssh://root@ship1"
    assert inputs["workers"] == "4"
    # The wire's form of a secret.
    registries = json.loads(inputs["registries"]["value"])
    assert registries == [{"registry": "r.example", "username": "u", "password": "p"}]


def test_functions_are_asked_plainly_and_with_outputs(sdk, engine):
    @pulumi.runtime.test
    def program():
        image = sdk.Image("web", name="lab/web:1")
        found = sdk.get_container(name="web")
        assert found.state == "running"
        assert found.bound_ports[0].host_ip == "::"
        assert isinstance(image.platform, pulumi.Output), "what nobody gave is one too"
        later = sdk.get_container_output(name=image.name)
        return pulumi.Output.all(later.image_digest).apply(seen.extend)

    seen = []
    program()
    assert seen == ["x"]
    assert engine.calls["bayplan:index:getContainer"] == {"name": "lab/web:1"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda sdk: sdk.Container("a", image="x", prts=[]), "prts"),
        (lambda sdk: sdk.Container("a", sdk.ContainerArgs(image="x"), image="y"), "image is given beside args"),
        (lambda sdk: sdk.Container("a", {"image": "x"}), "ResourceOptions, not dict"),
        (lambda sdk: sdk.Container("a", None, "x"), "given by name"),
        (lambda sdk: sdk.Container("a"), "image"),
    ],
)
def test_wrong_arguments_are_refused_where_they_are_written(sdk, engine, make, message):
    with pytest.raises(TypeError, match=message):
        make(sdk)


def test_it_is_a_distribution_of_its_own(tmp_path):
    from hatchling.builders.wheel import WheelBuilder

    (built,) = WheelBuilder(str(SDK)).build(directory=str(tmp_path), versions=["standard"])
    import zipfile

    names = zipfile.ZipFile(built).namelist()
    assert Path(built).name.startswith("pulumi_bayplan-0.")
    assert {"pulumi_bayplan/py.typed", "pulumi_bayplan/pulumi-plugin.json", "pulumi_bayplan/config/vars.py"} <= set(
        names
    )
    assert not [name for name in names if name.startswith("bayplan/")]
