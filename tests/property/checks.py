"""What must hold of an apply: it did what its plan had said, field for field, and nothing else."""

from bayplan.models import Kind
from bayplan.reconcile.plan import Action

MADE_ANEW = {Action.CREATE, Action.RECREATE, Action.DELETE}


def apart(name, one, other):
    """Whether two values of a field differ, in more than the order of what has none."""
    if name in ("mounts", "ports"):
        return sorted(map(repr, one)) != sorted(map(repr, other))
    return one != other


def fields_of(item):
    return {name: getattr(item.actual, name) for name in type(item.actual).model_fields}


def as_foretold(plan, outcome, before, after, *, renewed=frozenset(Kind)):
    """``before`` and ``after`` are what was observed, by resource.

    ``renewed``: kinds whose handle is another when one is made anew; that of a bridge is its name.
    """
    assert [step.resource for step in outcome.done] == sorted(
        (step.resource for step in plan.steps), key=[step.resource for step in outcome.done].index
    )
    steps = {step.resource: step for step in plan.steps}
    noted = {note.resource: {item.path.partition("[")[0] for item in note.fields} for note in plan.noted}
    for key in {*before, *after}:
        old, new = before.get(key), after.get(key)
        step = steps.get(key)
        foretold = {item.path.partition("[")[0] for item in step.fields} if step else noted.get(key, set())
        if old is None or new is None:
            assert step is not None or (old and old.superseded), key
            assert step.action in MADE_ANEW, key
            continue
        changed = {name for name, value in fields_of(new).items() if apart(name, value, getattr(old.actual, name))}
        # Not a field: what the image's name stands for.
        changed |= {"image.digest"} if old.image_digest != new.image_digest else set()
        assert changed == foretold, key
        is_anew = step is not None and step.action in MADE_ANEW
        if not is_anew or key.kind in renewed:
            assert (old.handle != new.handle) == is_anew, key
        if step is None:
            assert old.status == new.status, key
