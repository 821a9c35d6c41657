"""Write the JSON schemas of what programs read, from the models.

``tools/schemas.py`` writes; ``tools/schemas.py --check`` fails when a committed file differs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "src"))

from bayplan.models import Model  # noqa: E402 - after the path is set
from bayplan.reconcile.causes import DRIFT_VERSION, Drift  # noqa: E402 - after the path is set
from bayplan.reconcile.plan import PLAN_VERSION, Plan  # noqa: E402 - after the path is set

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


def main() -> int:
    """Write or check every file."""
    stale = []
    for name in SCHEMAS:
        path, text = FOLDER / f"{name}.json", json.dumps(schema(name), indent=2, sort_keys=False) + "\n"
        if path.exists() and path.read_text() == text:
            continue
        stale.append(str(path.relative_to(TOP)))
        if "--check" not in sys.argv[1:]:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    if stale and "--check" in sys.argv[1:]:
        print(f"not as the models say: {', '.join(stale)} (run tools/schemas.py)", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
