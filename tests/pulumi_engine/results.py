"""What a run did, as tests look at it."""

import threading
from dataclasses import dataclass, field

QUIET = ("same", "read", "refresh")


@dataclass
class Result:
    """Operations by Pulumi's names, in the order in which they began; components and providers are not among them."""

    events: list = field(default_factory=list)
    diffs: dict = field(default_factory=dict)
    """Name of a resource to its detailed difference: path to kind (add, update, delete, update-replace ...)."""
    outputs: dict = field(default_factory=dict)
    errors: list = field(default_factory=list)
    log: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def ok(self):
        return not self.errors

    @property
    def changes(self):
        """Name of each resource that is not as it was to its operations."""
        found = {}
        for operation, name in self.events:
            if operation not in QUIET:
                found.setdefault(name, []).append(operation)
        return found

    def note(self, operation, name):
        with self.lock:
            self.events.append((operation, name))

    def before(self, first, second):
        """Whether an event came before another."""
        return self.events.index(first) < self.events.index(second)
