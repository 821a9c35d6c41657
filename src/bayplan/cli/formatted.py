"""``--format`` of lists: a template for each row, ``json``, ``table``, or ``table`` and a template (docker ps)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from bayplan.cli.common import table
from bayplan.cli.template import render

_FIELD = re.compile(r"\{\{-?\s*(?:json\s+)?\.(\w+)[^}]*\}\}")


def formatted(form: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """The rows in that form; ``columns`` are the fields of a plain ``table``. Raises DeclarationError."""
    if form == "json":
        return "\n".join(json.dumps(row, default=str) for row in rows)
    word, _, template = form.partition(" ")
    if word != "table":
        return "\n".join(render(form, row) for row in rows)
    template = template.strip() or "\t".join(f"{{{{.{name}}}}}" for name in columns)
    cells = [render(template, row).split("\t") for row in rows]
    heads = _FIELD.sub(lambda found: _head(found[1]), template.replace("\\t", "\t")).split("\t")
    width = max(map(len, [heads, *cells]))
    return table([[*line, *[""] * (width - len(line))] for line in [heads, *cells]])


def _head(field: str) -> str:
    """A field's name as a heading: ``RunningFor`` is RUNNING FOR."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", field).upper()
