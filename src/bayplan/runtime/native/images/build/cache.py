"""What steps gave, kept on disk: a key to a layer. Each image keeps the keys of its last build alive."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bayplan.runtime.native.images.stored import Descriptor
from bayplan.system.files import atomic_write

MOUNTS = "build-mounts"
"""Directory below the state root for what ``bayplan builder prune`` frees: one directory each."""
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True)
class Made:
    """A step's layer and the chain id it ends in; ``diff_id`` empty for a step that changed nothing."""

    chain: str
    diff_id: str = ""
    digest: str = ""
    size: int = 0

    @property
    def layer(self) -> Descriptor:
        """The layer's descriptor."""
        return Descriptor(self.digest, self.size, LAYER_TYPE)


class Cache:
    """Files below ``root``; one that cannot be read is a miss. Safe among threads."""

    def __init__(self, root: Path) -> None:
        self._keys, self._images = root / "keys", root / "images"
        self._lock = threading.Lock()

    def get(self, key: str) -> Made | None:
        """What the step of that key gave."""
        try:
            return Made(**json.loads((self._keys / key).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def put(self, image: str, key: str, made: Made) -> None:
        """Keep a result, for an image whose build goes on."""
        with self._lock:
            self._keys.mkdir(parents=True, exist_ok=True, mode=0o700)
            used = self._used(self._file(image))
            if key not in used:
                self._note(image, {*used, key})
            if self.get(key) != made:
                # Not waited for: what a power cut takes is a miss.
                atomic_write(self._keys / key, json.dumps(asdict(made)).encode(), durable=False)

    def finish(self, image: str, keys: Collection[str]) -> None:
        """The image is built by exactly these; forget what no image needs. No keys: forget the image."""
        with self._lock:
            if keys:
                self._note(image, keys)
            else:
                self._file(image).unlink(missing_ok=True)
            used = {key for file in _listing(self._images) for key in self._used(file)}
            for path in _listing(self._keys):
                if path.name not in used:
                    path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget every result."""
        with self._lock:
            for path in (*_listing(self._images), *_listing(self._keys)):
                path.unlink(missing_ok=True)

    def kept(self) -> Iterator[Made]:
        """Every result that is kept: its layers are not to be collected."""
        return (made for path in _listing(self._keys) if (made := self.get(path.name)) and made.diff_id)

    def _file(self, image: str) -> Path:
        return self._images / hashlib.sha256(image.encode()).hexdigest()

    def _note(self, image: str, keys: Collection[str]) -> None:
        self._images.mkdir(parents=True, exist_ok=True, mode=0o700)
        atomic_write(self._file(image), json.dumps(sorted(keys)).encode(), durable=False)

    @staticmethod
    def _used(file: Path) -> list[str]:
        try:
            return list(json.loads(file.read_bytes()))
        except (OSError, ValueError, TypeError):
            return []


def _listing(directory: Path) -> list[Path]:
    return [path for path in directory.iterdir() if not path.name.startswith(".")] if directory.is_dir() else []
