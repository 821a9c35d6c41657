"""Plans kept in a file and applied as they were shown.

The file has what was shown and a digest of every declaration behind it, never a declaration: those may hold secrets. An
apply of it plans anew, from the declaration that is there, and refuses when that plan is not the one in the file.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from bayplan import __version__
from bayplan.errors import (
    ConflictError,
    DeclarationError,
    NotFoundError,
    RuntimeFailureError,
    StalePlanError,
    UnsupportedError,
)
from bayplan.models import Container, Model, Resource
from bayplan.reconcile.plan import PLAN_VERSION, Part, Plan, Step
from bayplan.system.files import atomic_write

FORMAT = 1


class PlanFile(Model):
    """What is in it. ``declared`` and ``seen`` are digests, by resource: of declarations, of what was observed."""

    format: int = FORMAT
    made_by: str = __version__
    plan: dict[str, Any]
    part: Part = Part()
    declared: dict[str, str] = Field(default_factory=dict)
    seen: dict[str, str] = Field(default_factory=dict)


def save(plan: Plan, part: Part, path: Path, key: bytes) -> None:
    """Write a plan of a part, readable by its owner alone. ``key`` is that of the host's fingerprints.

    Raises RuntimeFailureError.
    """
    digests = {"declared": dict(_declared(plan, key)), "seen": dict(plan.seen)}
    made = PlanFile(plan=plan.model_dump(mode="json"), part=part, **digests)
    try:
        atomic_write(path, made.model_dump_json(indent=2).encode() + b"\n", mode=0o600)
    except OSError as error:
        raise RuntimeFailureError(f"the plan cannot be written: {error.strerror}", where=str(path)) from error


def load(path: Path) -> PlanFile:
    """Read one. Raises NotFoundError, DeclarationError for what is none, UnsupportedError for a newer one."""
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise NotFoundError(f"the plan cannot be read: {error.strerror}", where=str(path)) from error
    except ValueError as error:
        raise DeclarationError(f"this is no plan: {error}", where=str(path), hint=_HINT) from error
    if isinstance(data, dict) and isinstance(data.get("format"), int) and data["format"] > FORMAT:
        made_by = data.get("made_by", "a newer version")
        raise UnsupportedError(f"this plan was made by bayplan {made_by}", where=str(path), hint="upgrade this one")
    try:
        found = PlanFile.model_validate(data)
        version = int(found.plan["version"])
    except (ValidationError, KeyError, TypeError, ValueError) as error:
        raise DeclarationError("this is no plan of bayplan", where=str(path), hint=_HINT) from error
    if version != PLAN_VERSION:
        raise UnsupportedError(f"plans of version {version} are not applied", where=str(path), hint=_HINT)
    return found


_HINT = "make one with `bayplan plan --out FILE`"


def check(held: PlanFile, now: Plan, key: bytes) -> None:
    """Raise StalePlanError saying what moved when the plan of now is another than the one that was kept.

    ConflictError when it was made for another host, engine or project.
    """
    for name in ("host", "engine", "project"):
        if held.plan.get(name) != getattr(now, name):
            what = f"this plan is for {name} {held.plan.get(name)}, and this is {getattr(now, name)}"
            raise ConflictError(what, hint="apply it where it was made for")
    moved = list(dict.fromkeys(_moved(held, now, key)))
    if moved:
        raise StalePlanError(f"what this plan was made on has moved: {'; '.join(moved)}", hint="make a new plan")


def _moved(held: PlanFile, now: Plan, key: bytes) -> Iterator[str]:
    """Each thing once, with what it is by now."""
    seen, told = {**dict.fromkeys(held.seen, ""), **now.seen}, set[str]()
    for item in sorted(seen):
        if held.seen.get(item) != now.seen.get(item):
            told.add(item)
            yield f"{item} {'is new' if item not in held.seen else _is_now(item, now)}"
    declared = dict(_declared(now, key))
    for item in sorted({**held.declared, **declared}):
        if item not in declared:
            yield f"{item} is not changed any more"
        elif item not in held.declared:
            yield from () if item in told else (f"{item} would be changed too",)
        elif held.declared[item] != declared[item]:
            yield f"the declaration of {item}"
        else:
            continue
        told.add(item)
    for name, image in sorted(now.images.items()):
        before = (held.plan.get("images") or {}).get(name) or {}
        if before.get("digest") != image.digest:
            told.add(f"image {name}")
            yield f"image {name} is {image.digest[:19]} by now"
    steps = [step.model_dump(mode="json") for step in now.steps]
    if held.plan.get("steps") != steps:
        yield from _other_steps(held.plan.get("steps"), steps, told)


def _is_now(item: str, now: Plan) -> str:
    found = next((one for one in now.snapshot.resources.values() if str(one.id) == item), None)
    if found is None:
        return "is gone"
    return f"is not what it was ({'; '.join((f'now {found.status.state.value}', *found.defects))})"


def _other_steps(before: Any, after: list[dict[str, Any]], told: set[str]) -> Iterator[str]:
    known = {_called(step): step for step in before if isinstance(step, dict)} if isinstance(before, list) else {}
    for step in after:
        if known.get(_called(step)) != step and _called(step) not in told:
            told.add(_called(step))
            yield f"{_called(step)} needs another change"
    if not told:
        yield "there are other steps"


def _called(step: dict[str, Any]) -> str:
    resource = step.get("resource") or {}
    return f"{resource.get('kind')} {resource.get('name')}"


def _declared(plan: Plan, key: bytes) -> Iterator[tuple[str, str]]:
    for step in plan.steps:
        yield str(step.resource), _digest(step, key)


def _digest(step: Step, key: bytes) -> str:
    """Keyed where the host has a key: a digest alone would let a weak secret be found by trying words."""
    text = step.desired.model_dump_json() if step.desired is not None else ""
    content = b"".join(_held(step.desired))
    return hmac.new(key, text.encode() + content, hashlib.sha256).hexdigest()[:32]


def _held(resource: Resource | None) -> Iterator[bytes]:
    """What its files hold: in no dump."""
    for grant in (*resource.secrets, *resource.configs) if isinstance(resource, Container) else ():
        yield grant.content.get_secret_value() if grant.content is not None else b""
