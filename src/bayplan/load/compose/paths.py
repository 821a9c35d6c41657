"""Paths that a Compose file names: relative ones below a directory, ``~`` for a home."""

from __future__ import annotations

from pathlib import Path

from bayplan.load.compose.nodes import Node, wrong


def below(directory: Path, text: str, node: Node) -> Path:
    """The path that ``text`` is. Raises DeclarationError at the node for the home of a user that there is not."""
    try:
        return directory / Path(text).expanduser()
    except RuntimeError as error:
        raise wrong(node, f"{text!r}: there is no such user on this host") from error
