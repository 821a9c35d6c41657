"""What a running container has lost of what it was started with: its kernel and its files held against its declaration.

Each part gives sentences with the way of change that mends them. What a process may change of itself (a soft limit, a
capability that it gives up, its hosts file beside our lines) is no drift: it would come back with every start.
"""

from __future__ import annotations

from bayplan.models import Container, Settings
from bayplan.runtime.native.containers.drift import inside, limits, privileges, settings
from bayplan.system.processes import Process


def defects(container: Container, process: Process, made: Settings) -> dict[str, str]:
    """Sentence to way of change (a value of ``Change``), of a container whose first process runs."""
    found = {
        **privileges.defects(container, process, made),
        **limits.defects(container, process),
        **settings.defects(container, process),
        **inside.defects(container, process, made),
    }
    # A process that ended meanwhile has lost nothing: its end is what is to be mended.
    return found if found and process.alive else {}


def heal(container: Container, process: Process) -> None:
    """Mend in place what its first process and its namespaces have lost; groups are the OCI runtime's to mend."""
    limits.heal(container, process)
    settings.heal(container, process)
