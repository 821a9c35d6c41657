# Copyright: the Bayplan contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A project's directory where Ansible runs: its files, their digests, and their contents for the target."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError

NEVER = (".git",)
BATCH = 16 << 20
SUFFIX = ".j2"


class Tree:
    """``render`` makes the text of a template's path. Raises AnsibleError for what cannot be sent."""

    def __init__(
        self, top: Path, *, templates: Sequence[str], exclude: Sequence[str], render: Callable[[Path], str]
    ) -> None:
        self.top, self._rendered, self._sources = top, {}, {}
        self.files: list[dict[str, Any]] = []
        unused = set(templates)
        for path in self._paths(exclude):
            name = path.relative_to(top).as_posix()
            if path.is_symlink():
                self.files.append({"path": name, "link": str(path.readlink())})
                continue
            if not path.is_file():
                continue  # a socket or a pipe: nothing that could be sent
            matching = {pattern for pattern in templates if fnmatch(name, pattern)}
            unused -= matching
            data = render(path).encode() if matching else None
            self._add(name.removesuffix(SUFFIX) if matching else name, path, data)
        if unused:
            raise AnsibleError(f"templates: nothing in {top} is called {', '.join(sorted(unused))}")

    def _paths(self, exclude: Sequence[str]) -> Iterator[Path]:
        for folder, folders, names in os.walk(self.top):
            at = Path(folder)
            left_out = {
                name
                for name in (*folders, *names)
                if name in NEVER or any(fnmatch((at / name).relative_to(self.top).as_posix(), one) for one in exclude)
            }
            links = [name for name in folders if (at / name).is_symlink()]
            folders[:] = sorted(set(folders) - left_out - set(links))
            yield from (at / name for name in sorted({*names, *links} - left_out))

    def _add(self, name: str, path: Path, data: bytes | None) -> None:
        if data is None:
            with path.open("rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
            self._sources[digest] = path
        else:
            digest = hashlib.sha256(data).hexdigest()
            self._rendered[digest] = data
        status = path.stat()
        size = status.st_size if data is None else len(data)
        self.files.append({"path": name, "mode": status.st_mode & 0o777, "sha256": digest, "size": size})

    def request(self, name: str | None) -> dict[str, Any]:
        """What the bridge is told: the files, and a name for their place, the project's or the directory's own."""
        key = re.sub(r"[^A-Za-z0-9_.-]", "-", name or self.top.name).lstrip(".-_") or "project"
        return {"key": key, "files": self.files}

    def batches(self, digests: Sequence[str]) -> Iterator[dict[str, str]]:
        """Contents in packets that are no burden. Raises AnsibleError when a file was changed meanwhile."""
        packet: dict[str, str] = {}
        for digest in digests:
            data = self._rendered[digest] if digest in self._rendered else self._sources[digest].read_bytes()
            if hashlib.sha256(data).hexdigest() != digest:
                raise AnsibleError(f"{self._sources[digest]} was changed meanwhile; run it again")
            packet[digest] = base64.b64encode(zlib.compress(data, 1)).decode()
            if sum(map(len, packet.values())) > BATCH:
                yield packet
                packet = {}
        if packet:
            yield packet
