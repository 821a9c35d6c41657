"""Which applies leave a generation: those after which something else is declared than the last one says.

An apply that only heals, by hand or by a timer, leaves none: else an hour of a flapping container would push out every
generation that differs.
"""

from __future__ import annotations

import logging
import os
import pwd
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bayplan.errors import BayplanError
from bayplan.models import Kind, ResourceId
from bayplan.reconcile.basis import fingerprint
from bayplan.reconcile.parts import with_the_rest
from bayplan.reconcile.plan import Action, Extent, Plan
from bayplan.reconcile.reasons import DRIFT
from bayplan.reconcile.render import summary
from bayplan.record import engines
from bayplan.record.generations import Generation, Generations, contents_of, now, without_secrets
from bayplan.record.journal import FAILED, RECORDED, Journal
from bayplan.runtime.protocol import Runtime, Scope

_log = logging.getLogger("bayplan.generations")


def forget_gone(plan: Plan, runtime: Runtime, journal: Journal) -> None:
    """Forget a project of which a plan has left nothing but volumes: its engine, its generations."""
    if plan.project and all(item.action is Action.DELETE for item in plan.steps):
        left = runtime.observe(Scope(project=plan.project, presence=True)).resources.values()
        if not any(item.managed and item.actual.kind is not Kind.VOLUME for item in left):
            engines.release(journal, plan.project)
            Generations(journal).forget(plan.project, keep=0)
            runtime.image_verbs.keep(plan.project, ())


def catch_up(plan: Plan, runtime: Runtime, path: Path, *, keep: int) -> None:
    """Record what an apply has done that was cut between its last step and its end, though nothing is to do any more.

    ``path`` is the journal's, which is ``unsettled``.
    """
    try:
        journal = Journal(path)
        try:
            with runtime.lock(f"record of {plan.project}"):
                if fingerprint(runtime.observe(plan.scope)) == plan.basis:
                    with journal.run(plan.project, ()) as number:
                        if remember(plan, runtime, Generations(journal), keep=keep):
                            settle(plan, journal, number)
                        else:
                            journal.came_to(number, FAILED)
        finally:
            journal.close()
    except BayplanError as error:
        _warn(error)


def settle(plan: Plan, journal: Journal, run: int) -> None:
    """Say that what a run left is recorded. One of some services does not know of the others: they stay unsettled."""
    if plan.extent is not Extent.SERVICES:
        journal.came_to(run, RECORDED)


def remember_less(plan: Plan, gone: Sequence[ResourceId], runtime: Runtime, journal: Journal, *, keep: int) -> None:
    """Record what the last generation declares without what a prune has removed: drift would bring it back."""
    generations = Generations(journal)
    try:
        last = generations.last(plan.project)
    except BayplanError:
        return  # there is none that declares it
    update = {
        name: kept
        for name in ("networks", "volumes", "containers", "services")
        if (held := getattr(last.stack, name, ()))
        and len(kept := tuple(item for item in held if item.id not in gone)) < len(held)
    }
    if update:
        stack = last.stack.model_copy(update=update)
        told = {"made_at": now(), "by": _user(), "summary": summary(plan), "note": plan.note}
        generations.add(last.model_copy(update={"stack": stack, **told}))
        generations.forget(plan.project, keep=keep)
        runtime.image_verbs.keep(plan.project, generations.digests(plan.project))


def is_of_project(plan: Plan) -> bool:
    """Whether it is for a declaration of a project, and what it leaves may be a generation."""
    return plan.stack is not None and bool(plan.project)


def remember(plan: Plan, runtime: Runtime, generations: Generations, *, keep: int) -> bool:
    """Record what a project has now as a generation, unless the plan only heals and the last one says the same.

    Forgets those that are too old, and lets their images go. A generation that cannot be recorded is only warned of:
    the host is as declared all the same. Gives whether the last one is what there is now.
    """
    if not is_of_project(plan):
        return False
    try:
        made = with_the_rest(_made(plan, runtime), plan, generations)
        if plan.note or _declares(plan) or not _is_last(made, generations):
            generations.add(made)
            generations.forget(plan.project, keep=keep)
        runtime.image_verbs.keep(plan.project, generations.digests(plan.project))
    except BayplanError as error:
        _warn(error)
        return False
    return True


def _warn(error: BayplanError) -> None:
    _log.warning("this generation could not be recorded: %s", error)


def _made(plan: Plan, runtime: Runtime) -> Generation:
    assert plan.stack is not None
    # The key of fingerprints may have been made by this very apply.
    key = runtime.facts().key.get_secret_value()
    sealed = tuple(item.sealed(key) for item in plan.stack.containers)
    stack, withheld = without_secrets(plan.stack.model_copy(update={"containers": sealed}))
    images = runtime.observe(Scope(names=tuple(item.id for item in stack.images)))
    return Generation(
        project=plan.project,
        made_at=now(),
        by=_user(),
        host=plan.host,
        engine=plan.engine,
        summary=summary(plan),
        note=plan.note,
        stack=stack,
        contents=contents_of(plan.stack),
        digests={item.id.name: item.image_digest for item in images.of(Kind.IMAGE)},
        withheld=withheld,
        stopped=plan.stopped,
    )


def _declares(plan: Plan) -> bool:
    """Whether something changes because it is declared otherwise than before, secrets that no generation has too."""
    fields = (*(step.fields for step in plan.steps), *(note.fields for note in plan.noted))
    return any(item.why != DRIFT for items in fields for item in items)


def _is_last(made: Generation, generations: Generations) -> bool:
    """Whether the last generation says the same, but for who made it and when."""
    try:
        last = generations.last(made.project)
    except BayplanError:
        return False
    told = {name: getattr(last, name) for name in ("number", "made_at", "by", "host", "summary", "note")}
    # A heal knows of configs what runs, which is not what they hold; that they are the same their fingerprints say.
    same = made.model_copy(update={**told, "contents": {**last.contents, **made.contents}})
    return _said(same) == _said(last)


def _said(made: Generation) -> dict[str, Any]:
    """As JSON, whatever the order of its resources: a part is joined to what was there."""
    said = made.model_dump(mode="json", exclude_none=True)
    for name, held in said["stack"].items():
        if isinstance(held, list) and all(isinstance(item, dict) for item in held):
            said["stack"][name] = sorted(held, key=lambda item: str(item.get("name")))
    return said


def _user() -> str:
    """Who runs this: the user behind sudo, if there is one."""
    try:
        return os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
