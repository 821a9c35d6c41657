"""What ``ADD`` fetched: kept by its address, asked for again only when a build says so (``pull``).

The content lies where the caches of builds lie, so that ``bayplan builder prune`` lists and frees it; what remains is a
record of a few bytes, by which a plan knows the content without asking anybody.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from bayplan.errors import RuntimeFailureError
from bayplan.system.files import atomic_write, fsync_dir, locked

if TYPE_CHECKING:
    from bayplan.registry.web import Version, Web


@dataclass(frozen=True)
class _Record:
    url: str
    sha256: str
    etag: str
    modified: str


class Urls:
    """The addresses of one build. ``newest`` asks the server of each whether it has another version by now."""

    def __init__(self, records: Path, contents: Path, web: Callable[[], Web], *, newest: bool = False) -> None:
        self._records, self._contents, self._web, self._newest = records, contents, web, newest
        self._asked: dict[str, str] = {}

    def known(self, url: str) -> str:
        """The sha256 of the content; empty when that is known only after it is fetched. Reads only."""
        if url not in self._asked:
            record = self._record(url)
            self._asked[url] = record.sha256 if record and (not self._newest or self._is_same(record)) else ""
        return self._asked[url]

    def open(self, url: str, sha256: str) -> int:
        """A descriptor of the content. Raises RuntimeFailureError when the server has another, and as ``Web``."""
        place = self._place(url) / sha256
        with suppress(FileNotFoundError):
            return os.open(place, os.O_RDONLY | os.O_CLOEXEC)
        if (found := self.fetch(url)) != sha256:
            hint = "check --checksum; without one, build again: the file was changed"
            raise RuntimeFailureError(f"{url} has sha256:{found}, wanted is sha256:{sha256}", hint=hint)
        return os.open(place, os.O_RDONLY | os.O_CLOEXEC)

    def fetch(self, url: str) -> str:
        """Fetch it; the sha256 of what came. Raises as ``Web``."""
        place = self._place(url)
        with locked(place / ".lock", "fetch a file of a build"):
            (place / "id").write_text(url)
            part = place / ".part"
            try:
                with part.open("wb") as file:
                    found, version = self._web().fetch(url, cast("BinaryIO", file))
                    file.flush()
                    os.fsync(file.fileno())
                part.rename(place / found)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
            fsync_dir(place)
            for old in place.iterdir():
                if len(old.name) == len(found) and old.name != found:
                    old.unlink()
            self._note(url, found, version)
        self._asked[url] = found
        return found

    def _is_same(self, record: _Record) -> bool:
        from bayplan.registry.web import Version

        return self._web().is_same(record.url, Version(record.etag, record.modified))

    def _note(self, url: str, sha256: str, version: Version) -> None:
        self._records.mkdir(parents=True, exist_ok=True, mode=0o700)
        data = json.dumps(asdict(_Record(url, sha256, version.etag, version.modified))).encode()
        atomic_write(self._records / _key(url), data)

    def _record(self, url: str) -> _Record | None:
        try:
            return _Record(**json.loads((self._records / _key(url)).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def _place(self, url: str) -> Path:
        return self._contents / f"url-{_key(url)}"


def _key(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:32]
