"""schema.json: as the models say, and a package as Pulumi's metaschema (pkg/codegen/schema/pulumi.json) wants it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[3]
FILE = TOP / "src/bayplan/pulumi/schema.json"
TOKEN = re.compile(r"^bayplan:index:[^0-9][a-zA-Z0-9._/-]*$")
PLAIN = {"string": str, "boolean": bool, "integer": int, "number": (int, float)}
PROPERTY = {"description", "default", "secret", "willReplaceOnChanges"}
PULUMI = shutil.which("pulumi")


@pytest.fixture(scope="module")
def schema():
    return json.loads(FILE.read_text())


def bags(schema):
    """Every bag of properties, by where it is, with what is required of it."""
    for token, spec in schema["types"].items():
        if "properties" in spec:
            yield token, spec["properties"], spec.get("required", [])
    for token, spec in {**schema["resources"], "provider": schema["provider"]}.items():
        yield f"{token} inputs", spec["inputProperties"], spec.get("requiredInputs", [])
        yield f"{token} outputs", spec["properties"], spec.get("required", [])
    for token, spec in schema["functions"].items():
        yield f"{token} inputs", spec["inputs"]["properties"], spec["inputs"].get("required", [])
        yield f"{token} outputs", spec["outputs"]["properties"], spec["outputs"].get("required", [])
    yield "config", schema["config"]["variables"], []


def check_type(spec, types, where):
    """The metaschema's typeSpec: a primitive, an array, a map, a reference or a union, and nothing of two of them."""
    form = {key: value for key, value in spec.items() if key not in PROPERTY}
    if "$ref" in form:
        assert set(form) == {"$ref"}, where
        assert form["$ref"] == "pulumi.json#/Any" or form["$ref"].removeprefix("#/types/") in types, where
    elif "oneOf" in form:
        assert set(form) == {"oneOf", "type"}, where
        assert len(form["oneOf"]) >= 2, where
        for one in form["oneOf"]:
            check_type(one, types, where)
    elif form["type"] == "array":
        assert set(form) == {"type", "items"}, where
        check_type(form["items"], types, where)
    elif form["type"] == "object":
        assert set(form) == {"type", "additionalProperties"}, where
        check_type(form["additionalProperties"], types, where)
    else:
        assert set(form) == {"type"}, where
        assert form["type"] in PLAIN, where


def test_it_is_as_the_models_say():
    done = subprocess.run(
        [sys.executable, TOP / "tools/pulumi_schema.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_it_is_a_package(schema):
    assert set(schema) <= {
        *("name", "displayName", "version", "description", "keywords", "license", "publisher", "config", "provider"),
        *("types", "resources", "functions", "language", "homepage", "repository", "meta"),
    }
    assert re.fullmatch(r"\d+\.\d+\.\d+", schema["version"])
    for token in (*schema["types"], *schema["resources"], *schema["functions"]):
        assert TOKEN.match(token)
    assert {token.rpartition(":")[2] for token in schema["resources"]} == {
        *("Image", "Container", "Network", "Volume", "Secret", "Config", "Stack", "RegistryImage")
    }
    assert {token.rpartition(":")[2] for token in schema["functions"]} == {
        *("getImageDigest", "getContainer", "getNetwork", "getPlan", "getLogs")
    }
    # A type `Port` is PortArgs in every SDK, as a resource is: no name of both.
    assert not schema["types"].keys() & schema["resources"].keys()


def test_every_property_is_one(schema):
    for where, properties, required in bags(schema):
        assert set(required) <= properties.keys(), where
        for name, spec in properties.items():
            assert re.fullmatch(r"[a-z][A-Za-z0-9]*", name), (where, name)
            assert spec["description"], (where, name)
            assert not set(re.findall(r"\b[COV]\(", spec["description"])), (where, name)
            check_type(spec, schema["types"], (where, name))
            if "default" in spec:
                assert isinstance(spec["default"], PLAIN[spec["type"]]), (where, name)
                assert name not in required, (where, name)
    for token in schema["resources"]:
        spec = schema["resources"][token]
        # Reserved by Pulumi: it has these of every resource.
        assert not {"id", "urn", "pulumi"} & {*spec["properties"], *spec["inputProperties"]}
        assert spec["inputProperties"].keys() <= spec["properties"].keys()


def test_enums_are_of_strings_with_names_of_their_own(schema):
    enums = {token: spec for token, spec in schema["types"].items() if "enum" in spec}
    assert len(enums) > 10
    for token, spec in enums.items():
        assert spec["type"] == "string", token
        members = [item["name"] for item in spec["enum"]]
        assert len({name.lower() for name in members}) == len(members), token
        assert all(name.isidentifier() for name in members), token


def test_what_the_models_say_of_a_field_is_there(schema):
    container = schema["resources"]["bayplan:index:Container"]
    inputs = container["inputProperties"]
    assert inputs["environment"]["secret"] is True
    assert inputs["image"]["willReplaceOnChanges"] is True
    assert "willReplaceOnChanges" not in inputs["ports"]
    assert inputs["stopGracePeriod"]["default"] == "10s"
    assert "default" not in inputs["privileged"], "false is what unset is"
    assert container["requiredInputs"] == ["image"]
    assert "name" in container["required"]
    assert not {"service", "dependsOn", "updateConfig"} & inputs.keys()
    mount = schema["types"]["bayplan:index:ContainerMount"]
    assert mount["required"] == ["target", "type"]
    assert "default" not in mount["properties"]["recursive"], "a volume has none"
    assert "ofImage" not in mount["properties"]
    assert schema["types"]["bayplan:index:BuildSecret"]["properties"]["content"]["secret"] is True
    assert schema["config"]["variables"]["registries"]["secret"] is True
    assert not [name for name, spec in schema["config"]["variables"].items() if "default" in spec]


@pytest.mark.skipif(PULUMI is None, reason="no pulumi in PATH")
def test_pulumi_itself_takes_it(tmp_path):
    environment = {**os.environ, "PULUMI_HOME": str(tmp_path), "PULUMI_SKIP_UPDATE_CHECK": "true"}
    done = subprocess.run(
        [PULUMI, "schema", "check", FILE], capture_output=True, text=True, check=False, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in (done.stdout + done.stderr).lower()
