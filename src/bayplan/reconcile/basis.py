"""What a plan relies on: when it is another by the time the plan is applied, the host has moved."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from bayplan.runtime.protocol import Observed, Snapshot, State


def fingerprint(snapshot: Snapshot) -> str:
    """A digest of what a plan relies on: resources, their state and defects, but not health, pids or times.

    A container between an end and its restart by policy is as good as running: the plan for it is the same.
    """
    items = [_relied_on(item) for item in sorted(snapshot.resources.values(), key=lambda item: str(item.id))]
    return hashlib.sha256(json.dumps(items).encode()).hexdigest()


def fingerprints(snapshot: Snapshot) -> dict[str, str]:
    """The same for each resource: which of them has moved."""
    return {
        str(item.id): hashlib.sha256(json.dumps(_relied_on(item)).encode()).hexdigest()[:32]
        for item in snapshot.resources.values()
    }


def _relied_on(item: Observed) -> list[Any]:
    return [
        str(item.id),
        item.handle,
        (State.RUNNING if item.status.state is State.RESTARTING else item.status.state).value,
        item.image_digest,
        item.superseded,
        sorted(item.defects),
        item.actual.model_dump_json(),
    ]
