"""A comparison as one page of HTML: nothing is loaded from anywhere, no script, every value escaped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from bayplan.resolve.compare import Comparison, Difference

_STYLE = """
:root{color-scheme:light dark;--line:#8886;--bad:#b3261e;--good:#1b6e3c;--soft:#8882}
@media(prefers-color-scheme:dark){:root{--bad:#ffb4ab;--good:#8fd8a8}}
body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:80rem;padding:0 1rem}
h1{font-size:1.6rem;margin-bottom:.2rem}h2{font-size:1.2rem;margin-top:2rem}
table{border-collapse:collapse;width:100%}caption{text-align:left;font-weight:600;padding:.6rem 0}
th,td{border:1px solid var(--line);padding:.35rem .6rem;text-align:left;vertical-align:top}
thead th{background:var(--soft)}tbody th{font-weight:normal}
code{font:.9em/1.4 ui-monospace,monospace;overflow-wrap:anywhere;white-space:pre-wrap}
.bad{color:var(--bad)}.good{color:var(--good)}.none{opacity:.7;font-style:italic}
.wide{overflow-x:auto}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(found: Comparison) -> str:
    """The page."""
    return "\n".join(_page(found)) + "\n"


def _page(found: Comparison) -> Iterator[str]:
    names = list(found.environments)
    title = f"Parity of {', '.join(names)}"
    unallowed, allowed = found.unallowed, [item for item in found.differences if item.allowed]
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield '<meta name="viewport" content="width=device-width,initial-scale=1">'
    yield f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>"
    yield f"<h1>{escape(title)}</h1>"
    mood = "bad" if unallowed else "good"
    yield f'<p role="status" class="{mood}"><strong>{_verdict(len(unallowed), len(allowed))}</strong></p>'
    yield from _environments(found)
    yield from _section("Differences that no rule allows", unallowed, names)
    yield from _section("Allowed differences", allowed, names)
    yield "</main>\n</body>\n</html>"


def _verdict(unallowed: int, allowed: int) -> str:
    if not unallowed:
        return f"No difference that is not allowed; {allowed} allowed."
    return f"{unallowed} not allowed, {allowed} allowed."


def _environments(found: Comparison) -> Iterator[str]:
    yield '<div class="wide"><table><caption>Environments</caption><thead><tr>'
    yield "".join(f'<th scope="col">{name}</th>' for name in ("Name", "Project", "Generation", "Fingerprint", "Taken"))
    yield "</tr></thead><tbody>"
    for name, one in found.environments.items():
        taken = one.made_at.isoformat(timespec="minutes")
        generation = "" if one.generation is None else str(one.generation)
        cells = (one.project, generation, one.fingerprint.digest, taken)
        told = "".join(f"<td><code>{escape(cell)}</code></td>" for cell in cells)
        yield f'<tr><th scope="row">{escape(name)}</th>{told}</tr>'
    yield "</tbody></table></div>"


def _section(title: str, differences: Sequence[Difference], names: Sequence[str]) -> Iterator[str]:
    yield f"<h2>{title}</h2>"
    if not differences:
        yield '<p class="none">None.</p>'
        return
    for group in dict.fromkeys(_group(item) for item in differences):
        own = [item for item in differences if _group(item) == group]
        yield from _table(group, own, names)


def _group(item: Difference) -> str:
    return f"Service {item.service}" if item.service else "Hosts" if item.side == "host" else "Declaration"


def _table(caption: str, differences: Sequence[Difference], names: Sequence[str]) -> Iterator[str]:
    yield f'<div class="wide"><table><caption>{escape(caption)}</caption><thead><tr>'
    yield "".join(f'<th scope="col">{escape(name)}</th>' for name in ("Field", "Where", *names, "Rule"))
    yield "</tr></thead><tbody>"
    for item in differences:
        rule = f"{item.rule} ({item.why})" if item.why else item.rule
        told = [item.values.get(name) for name in names] if set(item.values) <= set(names) else _spread(item, names)
        cells = "".join(f"<td>{_value(value)}</td>" for value in told)
        head = f'<th scope="row"><code>{escape(item.field)}</code></th><td>{escape(item.side)}</td>'
        yield f"<tr>{head}{cells}<td>{escape(rule)}</td></tr>"
    yield "</tbody></table></div>"


def _spread(item: Difference, names: Sequence[str]) -> list[Any]:
    """What one environment declares and runs, in its own column."""
    both = ", ".join(f"{said.split()[-1]} {shown(value)}" for said, value in item.values.items())
    return [both if any(said.startswith(f"{name} ") for said in item.values) else None for name in names]


def _value(value: Any) -> str:
    if value is None:
        return '<span class="none">not there</span>'
    return f"<code>{escape(shown(value))}</code>"


def shown(value: Any) -> str:
    """A value of a report on one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
