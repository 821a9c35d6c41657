"""Relative paths of a file that is read from another one, made absolute: they are relative to its own directory."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from bayplan.load.compose.nodes import Node

Rewrite = Callable[[Node], Node]


def anchored(root: Node, directory: Path) -> Node:
    """The whole file with its paths below ``directory`` (compose-go, ``paths/resolve.go``)."""

    def path(node: Node) -> Node:
        return _absolute(node, directory)

    def files(node: Node) -> Node:
        return _each(node, lambda item: _under(item, {"path": path}) if isinstance(item.value, dict) else path(item))

    def context(node: Node) -> Node:
        return _context(node, directory)

    def build(node: Node) -> Node:
        if not isinstance(node.value, dict):
            return context(node)
        rewrites = {
            "context": context,
            "additional_contexts": lambda item: _values(item, context),
            "ssh": lambda item: _values(item, lambda one: _agent(one, directory)),
        }
        return _under(node, rewrites)

    service = {
        "build": build,
        "env_file": files,
        "label_file": files,
        "security_opt": lambda node: _each(node, lambda item: _profile(item, directory)),
        "volumes": lambda node: _each(node, lambda item: _mount(item, directory)),
    }
    named = {"file": path}
    return _under(
        root,
        {
            "services": lambda node: _values(node, lambda item: _under(item, service)),
            "secrets": lambda node: _values(node, lambda item: _under(item, named)),
            "configs": lambda node: _values(node, lambda item: _under(item, named)),
        },
    )


def _absolute(node: Node, directory: Path) -> Node:
    if not isinstance(node.value, str) or node.value.startswith("~"):
        return node
    return node.with_value(os.path.normpath(directory / node.value))


def _context(node: Node, directory: Path) -> Node:
    text = node.value
    elsewhere = isinstance(text, str) and ("://" in text or text.startswith(("git@", "github.com/", "service:")))
    return node if elsewhere else _absolute(node, directory)


def _agent(node: Node, directory: Path) -> Node:
    """``PATH`` of a map, ``ID=PATH`` or ``ID`` of a list."""
    if not isinstance(node.value, str):
        return node
    head, equals, path = node.value.rpartition("=")
    if not path or (not equals and not path.startswith((".", "/"))):
        return node
    return node.with_value(f"{head}{equals}{os.path.normpath(directory / path)}")


def _profile(node: Node, directory: Path) -> Node:
    """``seccomp=FILE`` or ``seccomp:FILE``."""
    text = node.value
    if not isinstance(text, str) or not text.startswith("seccomp") or text[8:] in ("unconfined", "builtin", ""):
        return node
    return node.with_value(text[:8] + os.path.normpath(directory / text[8:]))


def _mount(node: Node, directory: Path) -> Node:
    if isinstance(node.value, dict):
        kind = node.get("type")
        bind = kind is not None and kind.value == "bind"
        return _under(node, {"source": lambda item: _absolute(item, directory)}) if bind else node
    if not isinstance(node.value, str) or not node.value.startswith("."):
        return node
    source, colon, rest = node.value.partition(":")
    return node.with_value(os.path.normpath(directory / source) + colon + rest)


def _under(node: Node, rewrites: Mapping[str, Rewrite]) -> Node:
    """The values of the named keys rewritten; what is no map stays, its fault is found later."""
    if not isinstance(node.value, dict):
        return node
    changed = {
        key: rewrites[key](item) if key in rewrites and not item.is_null else item for key, item in node.value.items()
    }
    return replace(node, value=changed)


def _values(node: Node, rewrite: Rewrite) -> Node:
    if isinstance(node.value, dict):
        return replace(node, value={key: rewrite(item) for key, item in node.value.items()})
    return _each(node, rewrite) if isinstance(node.value, list) else node


def _each(node: Node, rewrite: Rewrite) -> Node:
    """Each item of a list, or the one that stands for a list."""
    if isinstance(node.value, list):
        return replace(node, value=[rewrite(item) for item in node.value])
    return rewrite(node)
