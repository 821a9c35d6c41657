"""The JSON schemas of the OCI, as Debian packages them with the specifications' sources."""

import json
from pathlib import Path

import jsonschema
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

SOURCES = Path("/usr/share/gocode/src/github.com/opencontainers")


def validator(specification, name):
    """A validator for one schema (``image-spec``, ``runtime-spec``); its references are files beside it."""
    folder = SOURCES / specification / "schema"

    def retrieve(uri):
        return Resource.from_contents(json.loads((folder / uri.rpartition("/")[2]).read_text()), DRAFT4)

    schema = json.loads((folder / name).read_text())
    return jsonschema.Draft4Validator(schema, registry=Registry(retrieve=retrieve))


def faults(specification, name, document):
    """What a document does wrong, as sentences with their place in it."""
    found = validator(specification, name).iter_errors(document)
    return [f"{'/'.join(str(part) for part in error.absolute_path)}: {error.message[:200]}" for error in found]
