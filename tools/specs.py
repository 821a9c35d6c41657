"""Write the Ansible argument specs and their documentation from the models.

``tools/specs.py`` writes; ``tools/specs.py --check`` fails when a committed file differs.
"""

from __future__ import annotations

import enum
import sys
import types
import typing
from pathlib import Path
from pprint import pformat

import yaml

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "src"))

from bayplan.models import RESOURCE_MODELS, Kind, Model, Settings  # noqa: E402 - after the path is set

ALIASES = {"environment": ["env"], "ports": ["published_ports"], "mounts": ["volumes"]}
RAW_LISTS = {
    "ports": "Each is C(HOST:CONTAINER), C(ADDRESS:HOST:CONTAINER/PROTOCOL), or a dictionary.",
    "mounts": "Each is C(VOLUME:PATH[:ro]), C(/HOST/PATH:PATH[:ro]), or a dictionary with C(type), C(target) and more.",
    "networks": "Each is the name of a network, or a dictionary with C(network), C(aliases) and more.",
}
RAW = {
    "command": "A list, or a string that is split like a shell does.",
    "entrypoint": "A list, or a string that is split like a shell does.",
    "restart": "C(no), C(always), C(on-failure), C(unless-stopped), or a dictionary with C(condition), C(max_retries).",
}
# What only means something within a stack.
LEFT_OUT = {"service", "secrets", "configs", "depends_on", "external", "expose"}
STATES = {
    "image": (["present", "absent"], "present"),
    "network": (["present", "absent"], "present"),
    "volume": (["present", "absent"], "present"),
    "container": (["started", "stopped", "absent"], "started"),
    "stack": (["present", "absent"], "present"),
}
STACK = {
    "project_src": {"type": "path", "description": ["Directory on the target that holds the Compose file."]},
    "files": {
        "type": "list",
        "elements": "path",
        "description": ["Compose files, relative to O(project_src), later ones over earlier ones."],
    },
    "definition": {"type": "dict", "description": ["The Compose file's content, instead of files."]},
    "project_name": {"type": "str", "description": ["Name of the project."]},
    "env": {"type": "dict", "description": ["Variables for interpolation, over those of the environment."]},
    "profiles": {"type": "list", "elements": "str", "description": ["Profiles to switch on."]},
    "remove_volumes": {
        "type": "bool",
        "default": False,
        "description": ["With O(state=absent), remove the project's volumes and their data too."],
    },
    "remove_images": {
        "type": "bool",
        "default": False,
        "description": ["With O(state=absent), remove the images that the declaration names too."],
    },
}


def option(annotation: object) -> dict[str, object]:  # noqa: PLR0911 - one return for each form of type
    """Type, elements, choices and suboptions of an annotation; values the engine parses are strings."""
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin is typing.Annotated:
        return option(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return option(next(item for item in arguments if item is not type(None)))
    if origin is tuple:
        inner = option(arguments[0])
        return {
            "type": "list",
            "elements": inner["type"],
            **({"options": inner["options"]} if "options" in inner else {}),
        }
    if origin is dict or annotation is dict:
        return {"type": "dict"}
    if origin is typing.Literal:
        return {"type": "str", "choices": list(arguments)}
    if isinstance(annotation, type):
        if issubclass(annotation, Model):
            return {"type": "dict", "options": fields(annotation)}
        if issubclass(annotation, enum.Enum):
            return {"type": "str", "choices": [item.value for item in annotation]}
        if issubclass(annotation, Path):
            return {"type": "path"}
        for plain in (bool, int, float):
            if annotation is plain:
                return {"type": plain.__name__}
    return {"type": "str"}


def fields(model: type[Model]) -> dict[str, dict[str, object]]:
    """The options of a model. No defaults: what is not given is the model's to fill."""
    found: dict[str, dict[str, object]] = {}
    resource = model in RESOURCE_MODELS.values()
    for name, info in model.model_fields.items():
        if resource and name in LEFT_OUT:
            continue
        text = [(info.description or name).replace("``", "'")]
        if resource and name in RAW_LISTS:
            entry: dict[str, object] = {"type": "list", "elements": "raw"}
            text.append(RAW_LISTS[name])
        elif resource and name in RAW:
            entry = {"type": "raw"}
            text.append(RAW[name])
        else:
            entry = option(info.annotation)
        if info.is_required() and not (resource and name != "name"):
            entry["required"] = True
        if resource and name in ALIASES:
            entry["aliases"] = ALIASES[name]
        found[name] = {"description": text, **entry}
    return found


def all_options() -> dict[str, dict[str, dict[str, object]]]:
    """Module name to its options, with their documentation."""
    kinds = {
        kind.value: model for kind, model in RESOURCE_MODELS.items() if kind.value in STATES and kind is not Kind.SECRET
    }
    result: dict[str, dict[str, dict[str, object]]] = {name: fields(model) for name, model in kinds.items()}
    result["stack"] = {name: dict(entry) for name, entry in STACK.items()}
    for name, options in result.items():
        choices, default = STATES[name]
        text = [f"What the {name} must be on the host."]
        options["state"] = {"description": text, "type": "str", "choices": choices, "default": default}
        options["settings"] = {
            "description": ["Settings of the engine on the target, over its configuration file."],
            "type": "dict",
            "options": fields(Settings),
        }
        options["bayplan_command"] = {
            "description": ["The command C(bayplan) on the target; looked for in the usual places when unset."],
            "type": "path",
        }
    return result


def bare(options: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    """Options without their documentation: an argument spec."""
    result = {}
    for name, entry in options.items():
        kept = {key: value for key, value in entry.items() if key != "description"}
        if "options" in kept:
            kept["options"] = bare(typing.cast("dict[str, dict[str, object]]", kept["options"]))
        result[name] = kept
    return result


def documented(options: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    """Options as DOCUMENTATION spells them: nested ones are suboptions."""
    result = {}
    for name, entry in options.items():
        kept = dict(entry)
        if "options" in kept:
            kept["suboptions"] = documented(typing.cast("dict[str, dict[str, object]]", kept.pop("options")))
        result[name] = kept
    return result


def generated() -> dict[Path, str]:
    """Every generated file and its text."""
    head = "# Copyright: the Bayplan contributors. Apache-2.0\n# Generated by tools/specs.py; do not edit.\n"
    head += "# ruff: noqa - a generated file\n# fmt: off\nfrom __future__ import annotations\n\n"
    options = all_options()
    specs = {name: bare(entries) for name, entries in options.items()}
    files = {TOP / "plugins/module_utils/_specs.py": f"{head}SPECS = {pformat(specs, width=110, sort_dicts=False)}\n"}
    for name, entries in options.items():
        text = yaml.safe_dump({"options": documented(entries)}, sort_keys=False, width=110, allow_unicode=True)
        body = f'{head}\nclass ModuleDocFragment:\n    """Options of the module {name}."""\n\n'
        body += f'    DOCUMENTATION = r"""\n{text}"""\n'
        files[TOP / f"plugins/doc_fragments/{name}.py"] = body
    return files


def main(arguments: list[str]) -> int:
    """Write, or with --check compare. 1 when a file differs."""
    drifted = []
    for path, text in generated().items():
        if "--check" in arguments:
            if not path.is_file() or path.read_text() != text:
                drifted.append(str(path.relative_to(TOP)))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if drifted:
        print(f"out of date, run tools/specs.py: {', '.join(drifted)}", file=sys.stderr)
    return 1 if drifted else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
