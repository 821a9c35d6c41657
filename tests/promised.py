"""What the schema of the Pulumi package promises of an answer: programs in typed languages trip over anything else."""

import json
from pathlib import Path

import bayplan
from bayplan.pulumi.values import UNKNOWN, plain

SCHEMA = json.loads((Path(bayplan.__file__).parent / "pulumi/schema.json").read_text())
_PLAIN = {"string": str, "boolean": bool, "integer": int, "number": (int, float)}


def resource(kind, outputs):
    """The outputs of a resource that was made."""
    _bag(SCHEMA["resources"][f"bayplan:index:{kind}"], outputs, kind)


def function(name, found):
    """The answer of a function."""
    _bag(SCHEMA["functions"][f"bayplan:index:{name}"]["outputs"], found, name)


def _bag(spec, values, where):
    assert values.keys() <= spec["properties"].keys(), where
    assert values.keys() >= set(spec.get("required", ())), where
    for name, value in values.items():
        _value(spec["properties"][name], plain(value), f"{where}.{name}")


def _value(spec, value, where):
    if value is UNKNOWN or spec.get("$ref") == "pulumi.json#/Any":
        return
    if "$ref" in spec:
        _bag(SCHEMA["types"][spec["$ref"].removeprefix("#/types/")], value, where)
    elif spec["type"] == "array":
        for item in value:
            _value(spec["items"], item, where)
    elif spec["type"] == "object":
        for item in value.values():
            _value(spec["additionalProperties"], item, where)
    else:
        assert isinstance(value, _PLAIN[spec["type"]]), where
