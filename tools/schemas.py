"""Write the JSON schemas of what programs read, from the models.

``tools/schemas.py`` writes; ``tools/schemas.py --check`` fails when a committed file differs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from written import TOP, write

sys.path.insert(0, str(TOP / "src"))

from bayplan.models import Model
from bayplan.reconcile.causes import DRIFT_VERSION, Drift
from bayplan.reconcile.plan import PLAN_VERSION, Plan

FOLDER = TOP / "docs/schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCHEMAS: dict[str, tuple[type[Model], int, str]] = {
    "plan": (Plan, PLAN_VERSION, "A plan of Bayplan"),
    "drift": (Drift, DRIFT_VERSION, "What Bayplan finds to differ from the last apply, and why"),
}
"""File name to the model, the version of what it describes, and a title."""


def schema(name: str) -> dict[str, Any]:
    """One of them, as it stands in its file (JSON Schema 2020-12)."""
    model, version, title = SCHEMAS[name]
    found = _for_readers(model.model_json_schema(mode="serialization"))
    head = {"$schema": DIALECT, "$id": f"urn:bayplan:schema:{name}:{version}", "title": title}
    return {**head, **{key: value for key, value in found.items() if key not in head}}


def _for_readers(found: Any) -> Any:
    """Of descriptions the first paragraph: what follows is for those who change the models."""
    if isinstance(found, list):
        return [_for_readers(item) for item in found]
    if not isinstance(found, dict):
        return found
    return {
        key: item.partition("\n\n")[0].replace("``", "`").replace("\n", " ")
        if key == "description" and isinstance(item, str)
        else _for_readers(item)
        for key, item in found.items()
    }


def generated() -> dict[Path, str]:
    """Path to text of each file."""
    return {FOLDER / f"{name}.json": json.dumps(schema(name), indent=2, sort_keys=False) + "\n" for name in SCHEMAS}


if __name__ == "__main__":
    sys.exit(write(generated(), "schemas"))
