"""Write the schema of the Pulumi package from the models (Pulumi's "Package Schema").

``tools/pulumi_schema.py`` writes; ``tools/pulumi_schema.py --check`` fails when the committed file differs.
"""

from __future__ import annotations

import enum
import json
import re
import sys
import types
import typing
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic.fields import FieldInfo
from written import TOP, write

sys.path.insert(0, str(TOP / "src"))

from bayplan import __version__
from bayplan.models import Change, Model, is_sensitive
from bayplan.pulumi import names
from bayplan.pulumi.configuration import Configuration
from bayplan.pulumi.package import FUNCTIONS, INSTEAD, NAME, RESOURCES, Resource, declared, token

FILE = TOP / "src/bayplan/pulumi/schema.json"
CALLED = {"Resources": "Limits"}
"""Types whose name in the models says too little in a package."""
ANY = {"$ref": "pulumi.json#/Any"}
_CODE = re.compile(r"[COV]\(([^)]*)\)|``([^`]*)``")


class Types:
    """The object and enum types that properties refer to, as they are met."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}

    def type_of(self, annotation: Any, called: str) -> dict[str, Any]:  # noqa: PLR0911 - one for each form of type
        """The type of an annotation; ``called`` names an enum that has no name of its own."""
        forms = [one for one in alternatives(annotation) if one is not type(None)]
        models = [INSTEAD.get(one, one) for one in forms if isinstance(one, type) and issubclass(one, Model)]
        if models:
            return {"$ref": self._object(models, called if len(models) > 1 else models[0].__name__)}
        (form, *others) = forms
        origin, arguments = typing.get_origin(form), typing.get_args(form)
        if origin in (tuple, list):
            return {"type": "array", "items": self.type_of(arguments[0], singular(called))}
        if origin is dict or form is dict:
            return {"type": "object", "additionalProperties": self.type_of(arguments[1], singular(called))}
        if origin is typing.Literal and all(isinstance(item, str) for item in arguments):
            return self._enum(called, arguments)
        if origin is typing.Literal:
            return {"type": "boolean"}
        if form is Any:
            return ANY
        if isinstance(form, type) and issubclass(form, enum.Enum):
            return self._enum(form.__name__, [item.value for item in form])
        plain = {bool: "boolean", int: "integer", float: "number"}.get(form) if not others else None
        return {"type": plain or "string"}

    def properties(self, fields: Mapping[str, FieldInfo], owner: str, *, defaults: bool = True) -> dict[str, Any]:
        """A property for each field."""
        return {names.camel(name): self._property(info, name, owner, defaults) for name, info in fields.items()}

    def _property(self, info: FieldInfo, name: str, owner: str, defaults: bool) -> dict[str, Any]:
        camel = names.camel(name)
        found = {**self.type_of(info.annotation, owner + camel[0].upper() + camel[1:]), "description": text(info)}
        if defaults and (value := default(info)) is not None:
            found["default"] = value
        if is_sensitive(info):
            found["secret"] = True
        if Change.RECREATE in info.metadata:
            found["willReplaceOnChanges"] = True
        return found

    def _object(self, models: list[type[Model]], called: str) -> str:
        """One type for a model, or for a union: what any of them has, and required what each of them needs."""
        called = CALLED.get(called, called)
        if called not in self.found:
            self.found[called] = {}  # a place in the order of meeting
            several = [declared(model) for model in models]
            merged = {name: info for fields in reversed(several) for name, info in fields.items()}
            defaults = {name for name in merged if all(name in fields for fields in several) and same(name, several)}
            shown = self.properties(merged, called)
            for name in merged.keys() - defaults:
                shown[names.camel(name)].pop("default", None)
            if len(models) > 1:
                kinds = [typing.get_args(model.model_fields["type"].annotation)[0] for model in models]
                shown["type"] = {**self._enum(f"{called}Type", kinds), "description": "What is mounted."}
                described = f"One of {', '.join(kinds)}; which properties it takes goes by that."
            else:
                described = first_sentence(models[0].__doc__)
            required = [name for name in merged if all(name in of and needed(of[name]) for of in several)]
            required += ["type"] if len(models) > 1 else []
            self.found[called] = {
                "description": described,
                "type": "object",
                "properties": shown,
                **({"required": sorted(names.camel(name) for name in required)} if required else {}),
            }
        return reference(called)

    def _enum(self, called: str, values: typing.Sequence[str]) -> dict[str, Any]:
        """A string, or a member of the enum: programs may write either."""
        self.found[called] = {"type": "string", "enum": [{"name": member(value), "value": value} for value in values]}
        return {"type": "string", "oneOf": [{"type": "string"}, {"$ref": reference(called)}]}


def alternatives(annotation: Any) -> list[Any]:
    """What a value may be, without what only decorates it."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return alternatives(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [part for one in typing.get_args(annotation) for part in alternatives(one)]
    return [annotation]


def reference(called: str) -> str:
    """A pointer to one of the package's own types."""
    return f"#/types/{token(called)}"


def member(value: str) -> str:
    """The name of a member of an enum: ``on-failure`` is OnFailure."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", value))


def singular(called: str) -> str:
    """What an item of a list is called."""
    return called.removesuffix("s")


def needed(info: FieldInfo) -> bool:
    """Whether it must be given."""
    return info.is_required()


def same(name: str, several: list[dict[str, FieldInfo]]) -> bool:
    """Whether the members of a union agree on the default of a field."""
    return all(default(fields[name]) == default(several[0][name]) for fields in several)


def default(info: FieldInfo) -> str | int | float | None:
    """The default as a value of JSON, where it is not plain: false and an empty text are what unset is everywhere.

    The generated SDKs send defaults as if the user had given them.
    """
    value = None if info.is_required() else info.default
    if value is False:
        return None
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, timedelta):
        return str(value)
    if isinstance(value, bool | int | float):
        return value
    return value if isinstance(value, str) and value else None


def text(info: FieldInfo) -> str:
    """Description as Markdown."""
    return first_sentence(info.description or "")


def first_sentence(given: str | None) -> str:
    """The first paragraph as Markdown: what follows is for those who change the models."""
    paragraph = (given or "").partition("\n\n")[0].replace("\n", " ")
    return _CODE.sub(lambda found: f"`{found[1] or found[2]}`", " ".join(paragraph.split()))


def resource(item: Resource, known_types: Types) -> dict[str, Any]:
    """The specification of one resource."""
    called = item.token.rpartition(":")[2]
    inputs = known_types.properties(item.inputs, called)
    stays = {name: {key: one for key, one in spec.items() if key != "default"} for name, spec in inputs.items()}
    added = known_types.properties(item.outputs, called, defaults=False)
    always = [name for name, info in item.outputs.items() if info.is_required()]
    needs = [name for name, info in item.inputs.items() if info.is_required()]
    return {
        "description": item.text,
        "inputProperties": inputs,
        "requiredInputs": sorted(names.camel(name) for name in needs),
        "properties": {**stays, **added},
        "required": sorted({names.camel(name) for name in (*needs, *always)} | ({"name"} & inputs.keys())),
    }


def function(asked: type[Model], found: type[Model], known_types: Types) -> dict[str, Any]:
    """The specification of one function."""

    def bag(model: type[Model], *, defaults: bool) -> dict[str, Any]:
        needs = sorted(names.camel(name) for name, info in model.model_fields.items() if info.is_required())
        shown = known_types.properties(model.model_fields, model.__name__, defaults=defaults)
        for spec in shown.values():
            spec.pop("willReplaceOnChanges", None)
        return {"type": "object", "properties": shown, **({"required": needs} if needs else {})}

    return {
        "description": first_sentence(asked.__doc__),
        "inputs": bag(asked, defaults=True),
        "outputs": bag(found, defaults=False),
    }


def is_text(spec: Mapping[str, Any]) -> bool:
    """Whether a property is a string, and no enum."""
    return spec["type"] == "string" and "oneOf" not in spec


def schema() -> dict[str, Any]:
    """The whole package."""
    known_types = Types()
    configured = known_types.properties(Configuration.model_fields, "Provider", defaults=False)
    resources = {item.token: resource(item, known_types) for item in RESOURCES.values()}
    functions = {item.token: function(item.asked, item.found, known_types) for item in FUNCTIONS.values()}
    return {
        "name": NAME,
        "displayName": "Bayplan",
        "version": __version__,
        "description": "Images, containers, networks and volumes on plain hosts, by the engine of Bayplan.",
        "keywords": ["category/infrastructure", "kind/native", "containers", "compose"],
        "license": "Apache-2.0",
        "publisher": "Bayplan",
        "config": {"variables": configured},
        "provider": {
            "description": "One host, and the engine on it.",
            "inputProperties": configured,
            # Configuration travels as text: what else it is cannot be read back from a provider.
            "properties": {name: spec for name, spec in configured.items() if is_text(spec)},
        },
        "types": {token(name): spec for name, spec in sorted(known_types.found.items())},
        "resources": resources,
        "functions": functions,
        "language": {
            "nodejs": {"respectSchemaVersion": True},
            "python": {
                "packageName": "pulumi_bayplan",
                "requires": {"pulumi": ">=3.165.0,<4.0.0"},
                "respectSchemaVersion": True,
                "pyproject": {"enabled": True},
            },
            "go": {"respectSchemaVersion": True},
            "csharp": {"respectSchemaVersion": True},
        },
    }


if __name__ == "__main__":
    sys.exit(write({FILE: json.dumps(schema(), indent=2) + "\n"}, "pulumi_schema"))
