"""When a registry last said that what is here is what a name stands for: the memory of ``pull_policy: every_...``.

A cache: without it the registry is asked once more. Nothing of the host's state depends on it, so that a plan may
write it.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from bayplan.models import Image
from bayplan.system.files import atomic_write


class Asked:
    """A file for each image, whose time of change is that of the answer."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def is_due(self, image: Image, period: timedelta) -> bool:
        """Whether the last answer is older than the period, unknown, or of a time to come (the clock was set back)."""
        try:
            age_s = time.time() - self._file(image).stat().st_mtime
        except OSError:
            return True
        return not 0 <= age_s < period.total_seconds()

    def note(self, image: Image) -> None:
        """It answered now."""
        with suppress(OSError):  # a full or read-only disk: it is asked again
            self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
            atomic_write(self._file(image), str(image.reference).encode(), durable=False)

    def _file(self, image: Image) -> Path:
        return self._root / hashlib.sha256(f"{image.reference} {image.platform or ''}".encode()).hexdigest()[:32]
