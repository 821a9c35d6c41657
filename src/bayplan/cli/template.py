"""Templates of ``--format``: the part of Go's text/template that people use with ``docker inspect`` and ``docker ps``.

Fields (``{{.State.Status}}``), functions in prefix form with parentheses and pipes (``{{.Names | json}}``), variables,
``range``, ``if``, ``else`` and ``end``. See https://pkg.go.dev/text/template.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bayplan.errors import DeclarationError

_ACTION = re.compile(r"\{\{(-\s)?\s*(.*?)\s*(\s-)?\}\}", re.DOTALL)
_TOKEN = re.compile(
    r'\s*("(?:[^"\\]|\\.)*"|`[^`]*`|:=|-?\d+|\$(?:[A-Za-z_]\w*)?(?:\.\w+)*|(?:\.\w+)+|[A-Za-z_]\w*|[(),|.])'
)
_ESCAPES = {"\\t": "\t", "\\n": "\n"}
_DEEPEST = 50
Words = list[str]
Node = tuple[str, Words, list[Any], list[Any]]
"""Kind (text, show, range, if), words of the action, what it holds, and what ``else`` holds."""


def render(template: str, data: Any) -> str:
    """The template filled with JSON values. Raises DeclarationError for what it does not understand."""
    for typed, meant in _ESCAPES.items():
        template = template.replace(typed, meant)  # a shell's single quotes keep them, and docker ps takes them
    nodes, rest, _ = _block(list(_pieces(template)), 0, 0)
    if rest:
        raise _wrong("end without a range or if", template)
    try:
        return "".join(_run(nodes, data, {"$": data}))
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise _wrong(f"{error.args[0] if error.args else error}", template) from error


def _wrong(what: str, template: str) -> DeclarationError:
    return DeclarationError(f"--format: {what}", where=template, hint="see docs/commands.md, or use --json")


def _pieces(template: str) -> Iterator[tuple[str, str]]:
    """Texts and actions in turn; ``{{-`` and ``-}}`` take the white space beside them away."""
    position, trim = 0, False
    for found in _ACTION.finditer(template):
        text = template[position : found.start()]
        text = text.lstrip() if trim else text
        yield "text", text.rstrip() if found[1] else text
        yield "action", found[2]
        position, trim = found.end(), bool(found[3])
    rest = template[position:]
    yield "text", rest.lstrip() if trim else rest


def _block(pieces: Sequence[tuple[str, str]], position: int, depth: int) -> tuple[list[Node], str, int]:
    """Nodes up to the ``else`` or ``end`` that closes them, that word (none at the end), and where it goes on."""
    nodes: list[Node] = []
    if depth > _DEEPEST:
        raise DeclarationError(f"--format: nested deeper than {_DEEPEST}")
    while position < len(pieces):
        kind, text = pieces[position]
        position += 1
        if kind == "text":
            nodes.append(("text", [text], [], []))
            continue
        words = _words(text)
        head = words[0] if words else ""
        if head in ("end", "else"):
            return nodes, head, position
        if head in ("range", "if"):
            inner, closed, position = _block(pieces, position, depth + 1)
            other: list[Node] = []
            if closed == "else":
                other, closed, position = _block(pieces, position, depth + 1)
            if closed != "end":
                raise _wrong(f"{head} without end", text)
            nodes.append((head, words[1:], inner, other))
        elif words:
            nodes.append(("show", words, [], []))
    return nodes, "", position


def _words(text: str) -> Words:
    if text.startswith("/*"):
        return []
    found, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if not match or not match[1]:
            raise _wrong(f"cannot be read at {text[position:]!r}", text)
        found.append(match[1])
        position = match.end()
    return found


def _run(nodes: Sequence[Node], dot: Any, names: dict[str, Any]) -> Iterator[str]:
    for kind, words, inner, other in nodes:
        if kind == "text":
            yield words[0]
        elif kind == "show":
            yield _text(_value(words, dot, names))
        elif kind == "if":
            yield from _run(inner if _value(words, dot, names) else other, dot, names)
        else:
            yield from _range(words, inner, other, dot, names)


def _range(
    words: Words, inner: Sequence[Node], other: Sequence[Node], dot: Any, names: dict[str, Any]
) -> Iterator[str]:
    variables: list[str] = []
    if ":=" in words:
        cut = words.index(":=")
        variables, words = [word for word in words[:cut] if word != ","], words[cut + 1 :]
    value = _value(words, dot, names)
    pairs = list(value.items() if isinstance(value, Mapping) else enumerate(value or ()))
    if not pairs:
        yield from _run(other, dot, names)
    for key, item in sorted(pairs) if isinstance(value, Mapping) else pairs:
        given = dict(zip(variables, (key, item) if len(variables) > 1 else (item,), strict=False))
        yield from _run(inner, item, {**names, **given})


def _value(words: Words, dot: Any, names: Mapping[str, Any]) -> Any:
    """A pipeline: each command's value is the last argument of the next."""
    value: Any = None
    for number, command in enumerate(_split(words)):
        arguments = list(_arguments(command, dot, names))
        if number:
            arguments.append(value)
        value = _call(arguments)
    return value


def _split(words: Words) -> Iterator[Words]:
    start = depth = 0
    for number, word in enumerate(words):
        depth += {"(": 1, ")": -1}.get(word, 0)
        if word == "|" and depth == 0:
            yield words[start:number]
            start = number + 1
    yield words[start:]


def _arguments(words: Words, dot: Any, names: Mapping[str, Any]) -> Iterator[Any]:
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if word == "(":
            end, depth = position, 1
            while depth:
                depth += {"(": 1, ")": -1}.get(words[end], 0)
                end += 1
            value, position = _value(words[position : end - 1], dot, names), end
            if position < len(words) and words[position].startswith("."):
                value, position = _field(value, words[position]), position + 1
            yield value
        elif word[0] in '"`':
            yield json.loads(word) if word[0] == '"' else word[1:-1]
        elif word.startswith("."):
            yield _field(dot, word)
        elif word.startswith("$"):
            name, dotted, rest = word.partition(".")
            yield _field(names[name], f".{rest}") if dotted else names[name]
        elif word.lstrip("-").isdigit():
            yield int(word)
        else:
            yield _FUNCTIONS[word]


def _call(values: list[Any]) -> Any:
    if values and callable(values[0]):
        return values[0](*values[1:])
    if len(values) != 1:
        raise TypeError("a value is no function")
    return values[0]


def _field(value: Any, path: str) -> Any:
    for name in filter(None, path.split(".")):
        if not isinstance(value, Mapping) or name not in value:
            raise KeyError(f"there is no {name} in {path}")
        value = value[name]
    return value


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        # As Go has it, a key that a map has not is its empty value.
        value = value.get(key, "") if isinstance(value, Mapping) else value[key]
    return value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "<no value>"
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{_text(item)}' for key, item in sorted(value.items()))}]"
    if isinstance(value, (list, tuple)):
        return f"[{' '.join(map(_text, value))}]"
    return str(value)


def _printf(form: str, *values: Any) -> str:
    return re.sub(r"%[vsdq]", "{}", form).format(*map(_text, values))


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": lambda value: json.dumps(value, separators=(",", ":")),
    "index": _index,
    "len": len,
    "join": lambda values, glue: glue.join(map(_text, values)),
    "split": lambda text, glue: text.split(glue),
    "upper": str.upper,
    "lower": str.lower,
    "title": str.title,
    "println": lambda *values: " ".join(map(_text, values)) + "\n",
    "printf": _printf,
    "eq": lambda first, *others: first in others,
    "ne": lambda first, second: first != second,
    "not": lambda value: not value,
    "and": lambda *values: next((value for value in values if not value), values[-1]),
    "or": lambda *values: next((value for value in values if value), values[-1]),
}
