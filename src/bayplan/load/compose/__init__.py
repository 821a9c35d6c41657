"""The Compose reader: files to a ``Stack``.

Order, as in the Compose specification: parse, interpolate, include, extend, merge with ``!reset`` and ``!override``,
check, assemble.
What is read and what is refused: docs/compose.md.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bayplan.errors import DeclarationError, Location
from bayplan.load.compose import dotenv
from bayplan.load.compose.assemble import Context, assemble
from bayplan.load.compose.include import Reader
from bayplan.load.compose.interpolate import Variables, interpolate
from bayplan.load.compose.merge import merge, settle
from bayplan.load.compose.nodes import Node, as_text, wrong
from bayplan.load.compose.yaml_text import parse, place
from bayplan.models import Settings, Stack
from bayplan.system.probes import probe

__all__ = ["find_files", "load_stack", "load_text"]

_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_PROJECT = re.compile(r"^[a-z0-9][a-z0-9_-]*$")
_log = logging.getLogger("bayplan.load")


def find_files(directory: Path) -> tuple[Path, ...]:
    """The Compose file of a directory or its nearest parent, with its override file; empty when there is none."""
    start = directory.absolute()
    for folder in (start, *start.parents):
        found = next((folder / name for name in _NAMES if probe(folder / name).is_file()), None)
        if found:
            stems = ("compose.override", "docker-compose.override")
            overrides = (folder / f"{stem}.{suffix}" for stem in stems for suffix in ("yaml", "yml"))
            over = next((path for path in overrides if probe(path).is_file()), None)
            return (found, over) if over else (found,)
    return ()


def load_stack(
    files: Sequence[Path],
    *,
    project_directory: Path | None = None,
    project_name: str | None = None,
    environment: Mapping[str, str] | None = None,
    env_files: Sequence[Path] = (),
    profiles: Sequence[str] = (),
    settings: Settings | None = None,
    override: str = "",
) -> Stack:
    """The stack that the files declare, later ones over earlier ones, the text ``override`` last.

    ``environment`` (the process's when None) goes before ``env_files`` (``.env`` of the project directory when empty).
    ``settings`` say where external secrets and configs are, and whether it is for a swarm: then it has services.
    Raises DeclarationError with file and line; NotBuiltYetError for what Compose has and this version does not.
    """
    if not files:
        raise DeclarationError("no Compose file given")
    texts = []
    for path in files:
        try:
            texts.append((path.read_text(encoding="utf-8-sig"), str(path)))
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise DeclarationError(f"cannot read: {why}", where=str(path)) from error
    texts += [(override, "override")] if override else []
    directory = (project_directory or files[0].parent).absolute()
    values = _variables(directory, environment, env_files)
    return _load(texts, directory, project_name, profiles, values, settings=settings or Settings())


def load_text(
    text: str,
    *,
    label: str,
    project_directory: Path,
    project_name: str | None = None,
    environment: Mapping[str, str] | None = None,
    env_files: Sequence[Path] = (),
    profiles: Sequence[str] = (),
    settings: Settings | None = None,
    override: str = "",
) -> Stack:
    """Like ``load_stack`` for one text; ``label`` stands for the file's name in messages."""
    directory = project_directory.absolute()
    values = _variables(directory, environment, env_files)
    texts = [(text, label), *([(override, "override")] if override else [])]
    return _load(texts, directory, project_name, profiles, values, settings=settings or Settings())


def _load(
    texts: Sequence[tuple[str, str]],
    directory: Path,
    project_name: str | None,
    profiles: Sequence[str],
    values: Mapping[str, str],
    *,
    settings: Settings,
) -> Stack:
    documents = [place(node) for text, label in texts for node in parse(text, label) if not node.is_null]
    if not documents:
        raise DeclarationError("the file is empty", where=Location(texts[0][1]))
    for node in documents:
        if not isinstance(node.value, dict):
            raise wrong(node, "a Compose file must be a map with the key services")
        if node.get("version"):
            _log.warning("%s: the key version is obsolete and ignored", node.at.file)
    project = _project(project_name, values, documents, directory)
    variables = Variables({**values, "COMPOSE_PROJECT_NAME": project})
    root: Node | None = None
    for node in documents:
        reader = Reader(directory, variables, (Path(node.at.file).resolve(),))
        root = settle(reader.whole(node)) if root is None else merge(root, reader.whole(node))
    assert root is not None  # there is a document
    wanted = tuple(profiles) or tuple(filter(None, values.get("COMPOSE_PROFILES", "").split(",")))
    sources = tuple(label for _, label in texts)
    kept = {"secrets": settings.secrets_root, "configs": settings.configs_root}
    context = Context(project, directory, variables.values, wanted, sources, kept)
    if settings.engine == "swarm":
        from bayplan.load.compose import swarm

        return swarm.assemble(root, context)
    return assemble(root, context)


def _variables(directory: Path, environment: Mapping[str, str] | None, env_files: Sequence[Path]) -> dict[str, str]:
    environment = os.environ if environment is None else environment
    default = directory / ".env"
    files = tuple(env_files) or ((default,) if probe(default).is_file() else ())
    found: dict[str, str] = {}
    for path in files:
        found |= dotenv.read(path, {**found, **environment})
    return {**found, **environment}


def _project(given: str | None, values: Mapping[str, str], documents: Sequence[Node], directory: Path) -> str:
    named = [node for document in documents if (node := document.get("name"))]
    name = given or values.get("COMPOSE_PROJECT_NAME", "")
    where: Location | str = "project name"
    if not name and named:
        node = interpolate(named[-1], Variables(values))
        name, where = as_text(node), node.at
    name = name or re.sub(r"[^a-z0-9_-]", "", directory.name.lower()).lstrip("_-")
    if not _PROJECT.match(name):
        what = f"project name {name!r} must be lower-case letters, digits, - and _, and start with a letter or digit"
        raise DeclarationError(what, where=where, hint="set one with -p or the key name")
    return name
