"""A wish to stop, heeded at the next boundary between steps."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Stop:
    """Handed to an apply and asked by signal handlers. One apply at a time."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._walking = False

    def request(self) -> None:
        """Start no further step. Raises KeyboardInterrupt when no step can be under way, or when asked again."""
        if not self._walking or self.event.is_set():
            raise KeyboardInterrupt
        self.event.set()

    @contextmanager
    def walking(self) -> Iterator[None]:
        """From here on steps are under way, and are let come to their end."""
        self._walking = True
        try:
            yield
        finally:
            self._walking = False
