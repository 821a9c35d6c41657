"""Networks and volumes that no container uses: found by looking, and removed under the same lock.

Of an engine that others use too, only what we made: Docker's own networks are none of it, nor what others have named.
Of anonymous volumes nobody knows whose they are: the engine itself makes those that an image asks for.
"""

from __future__ import annotations

from collections.abc import Iterable

from bayplan.models import Kind, ResourceId, Volume, labels
from bayplan.runtime.protocol import Observed, Runtime


def networks(runtime: Runtime) -> list[str]:
    """Names of those on which no container is, and that none declares."""
    return [item.id.name for item, users in runtime.networks_there() if item.managed and not users]


def volumes(runtime: Runtime, *, named: bool) -> list[str]:
    """Names of those that no container mounts: the anonymous ones, and with ``named`` all that we made."""
    there = [item for item, users in runtime.volumes_there() if not users]
    return [item.id.name for item in there if _is_anonymous(item) or (named and item.managed)]


def remove(kind: Kind, names: Iterable[str], runtime: Runtime) -> None:
    """Remove them; the data of volumes is lost. The caller holds the lock."""
    for name in names:
        runtime.delete(ResourceId(kind=kind, name=name))


def _is_anonymous(item: Observed) -> bool:
    return isinstance(item.actual, Volume) and labels.ANONYMOUS in item.actual.labels
