"""Our Python SDK beside the one that `pulumi package gen-sdk` writes of the same schema, where that command is."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[3]
MISSING = [name for name in ("pulumi", "pulumi-language-python") if shutil.which(name) is None]
SEEN = """
import importlib.metadata, inspect, enum, json, sys, types, typing
importlib.metadata.version = lambda _: "0.1.0"
import pulumi
import pulumi_bayplan
from pulumi import _types

def names(cls):
    return {python: name for python, name, _ in _types._py_properties(cls)}

def form(kind):
    "A type as lists: Union[a, b] and a | b are one."
    parts = [form(one) for one in typing.get_args(kind)]
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return ["one of", *sorted(parts, key=str)]
    return [str(origin), *parts] if origin else str(kind)

found = {}
for where, module in (("", pulumi_bayplan), ("outputs.", pulumi_bayplan.outputs)):
    for name, value in vars(module).items():
        if not inspect.isclass(value) or not value.__module__.startswith("pulumi_bayplan" + ("." + where).rstrip(".")):
            if where == "" and inspect.isfunction(value) and value.__module__.startswith("pulumi_bayplan.get_"):
                found[name] = sorted(inspect.signature(value).parameters)
            continue
        if issubclass(value, enum.Enum):
            found[where + name] = {member.name: member.value for member in value}
        elif _types.is_input_type(value):
            kinds = {key: form(kind) for key, kind in _types.input_type_types(value).items()}
            found[where + name] = [names(value), kinds]
        elif _types.is_output_type(value):
            found[where + name] = [names(value)]
        elif issubclass(value, pulumi.Resource):
            found[where + name] = _types.resource_py_to_pulumi_names(value)
        elif name.endswith("ArgsDict"):
            found[where + name] = sorted(value.__annotations__)
json.dump(found, sys.stdout)
"""


def seen(root):
    """What a program sees of a package."""
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", SEEN], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(bool(MISSING), reason=f"not in PATH: {', '.join(MISSING)}")
def test_programs_see_what_pulumi_would_generate(tmp_path):
    environment = {**os.environ, "PULUMI_HOME": str(tmp_path / "home"), "PULUMI_SKIP_UPDATE_CHECK": "true"}
    schema = TOP / "src/bayplan/pulumi/schema.json"
    asked = ["pulumi", "package", "gen-sdk", schema, "--language", "python", "--out", tmp_path]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    theirs, ours = seen(tmp_path / "python"), seen(TOP / "sdk/python")
    assert len(theirs) > 70
    assert {name: (ours.get(name), item) for name, item in theirs.items() if ours.get(name) != item} == {}
