"""Whether somebody changes a project while it is looked at: what is seen of it may be half done then."""

from __future__ import annotations

import re
from collections.abc import Callable

from bayplan.models import Kind, Settings
from bayplan.reconcile.plan import Plan
from bayplan.system.files import holder


def told(make: Callable[[], Plan], settings: Settings) -> Plan:
    """The plan that ``make`` makes, with the change that held the host at its begin or end and is of its project."""
    before = holder(settings.lock_file)
    made = make()
    found = holder(settings.lock_file) or before
    concerned = {made.project, *(item.id.name for item in made.snapshot.of(Kind.CONTAINER))}
    changed = re.split(r"[ ,]+", found.rpartition(" of ")[2]) if " of " in found else ()
    of_it = bool(made.project) and not concerned.isdisjoint(changed)
    return made.model_copy(update={"meanwhile": found}) if of_it else made
