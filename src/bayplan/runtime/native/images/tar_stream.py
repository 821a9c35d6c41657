"""A tar archive read from a stream, entry by entry: much faster than tarfile, and damage is never taken for the end.

Read as Go's archive/tar reads it, with which other engines see a layer: global extended headers say nothing, entries
without content skip none, sparse files of GNU tar are made whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from bayplan.runtime.native.images.tar_headers import (
    BLOCK,
    XATTR,
    DamagedTarError,
    Fields,
    applied,
    fields,
    number,
    records,
    sparse_map,
    text,
)

_PIECE = 1 << 18
_MAX_HEADER = 4 << 20  # bytes of extended headers of one entry: they are read whole into memory
_ZEROS = bytes(BLOCK)
_KINDS = {b"0": "file", b"7": "file", b"S": "file", b"1": "link", b"2": "symlink", b"5": "directory", b"6": "fifo"}
_KINDS |= {b"3": "device node", b"4": "device node"}


class Readable(Protocol):
    """What gives at most so many bytes, and none at its end."""

    def read(self, size: int, /) -> bytes:
        """The next bytes."""


@dataclass(slots=True)
class Entry:
    """One entry; ``size`` in bytes as a file has it, ``mtime`` in ns.

    ``kind`` is file, link, symlink, directory, fifo, device node, or says which unknown type it is.
    """

    name: str
    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    link: str
    xattrs: dict[str, bytes] = field(default_factory=dict)
    pieces: list[tuple[int, int]] | None = None
    """Where the content of a sparse file belongs: offset and size each."""


class TarStream:
    """Iterate once; ``copy`` the content of an entry before the next one is asked for, or leave it."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._buffer = memoryview(b"")
        self._left = 0
        """Bytes of the entry's content that were not read."""
        self._padding = 0

    def __iter__(self) -> Iterator[Entry]:
        """Entries in their order. Raises DamagedTarError, and what the stream raises."""
        extended: dict[bytes, bytes] = {}
        long: dict[bytes, bytes] = {}
        pending = 0
        while (block := self._header()) is not None:
            header = fields(block)
            if header.size < 0:
                raise DamagedTarError(f"damaged header: {header.size} bytes")
            if header.kind in (b"x", b"X", b"g", b"L", b"K"):
                pending += header.size
                if pending > _MAX_HEADER:
                    raise DamagedTarError(f"a header of {pending} bytes")
                data = self._exactly(header.size)
                self._skip(-header.size % BLOCK)
                if header.kind in (b"x", b"X"):
                    extended = records(data)
                elif header.kind != b"g":
                    long[header.kind] = text(data)
                continue
            applied(header, extended)
            header.name, header.link = long.get(b"L", header.name), long.get(b"K", header.link)
            yield self._entry(header, block, extended)
            self._skip(self._left)
            if self._buffer or self._filled():  # umoci ends an archive without the last padding; the content is whole
                self._skip(self._padding)
            extended, long, pending = {}, {}, 0
        if pending:
            raise DamagedTarError("it ends with a header that belongs to nothing")

    def copy(self, entry: Entry, fd: int) -> None:
        """Write the entry's content to a new file. Raises DamagedTarError when the archive is cut, OSError."""
        if entry.pieces is None:
            self._write(fd, self._left)
            return
        for offset, size in entry.pieces:
            os.lseek(fd, offset, os.SEEK_SET)
            self._write(fd, size)
        os.ftruncate(fd, entry.size)

    def _entry(self, header: Fields, block: bytes, extended: dict[bytes, bytes]) -> Entry:
        kind = _KINDS.get(header.kind, f"entry of the unknown type {header.kind!r}")
        self._left = header.size if kind == "file" or header.kind not in _KINDS else 0
        if self._left < 0:
            raise DamagedTarError(f"damaged extended header: {self._left} bytes")
        self._padding = -self._left % BLOCK
        entry = Entry(
            os.fsdecode(header.name),
            kind,
            header.mode,
            header.uid,
            header.gid,
            self._left,
            header.mtime,
            os.fsdecode(header.link),
        )
        if extended:
            entry.xattrs = {os.fsdecode(key[len(XATTR) :]): extended[key] for key in extended if key.startswith(XATTR)}
            entry.name = os.fsdecode(extended.get(b"GNU.sparse.name", header.name))
        if header.kind == b"S" or b"GNU.sparse.major" in extended or b"GNU.sparse.map" in extended:
            self._sparse(entry, block, extended)
        return entry

    def _sparse(self, entry: Entry, block: bytes, extended: dict[bytes, bytes]) -> None:
        said = extended.get(b"GNU.sparse.realsize") or extended.get(b"GNU.sparse.size") or b""
        numbers: list[bytes]
        if b"GNU.sparse.map" in extended:
            numbers = [item for item in extended[b"GNU.sparse.map"].split(b",") if item]
        elif b"GNU.sparse.major" in extended:
            numbers = self._map_of_content()
        else:
            numbers, said = self._map_of_header(block)
        whole = int(said) if said.isdigit() and len(said) < 20 else -1
        entry.pieces = sparse_map(numbers, self._left, whole)
        entry.size = whole

    def _map_of_content(self) -> list[bytes]:
        """Format 1.0: the content begins with the number of pieces, then their places, a number a line."""
        found, lines, wanted = b"", [b""], 1
        while len(lines) <= wanted:
            if len(found) + BLOCK > min(_MAX_HEADER, self._left):
                raise DamagedTarError("damaged map of a sparse file")
            found += self._exactly(BLOCK)
            lines = found.split(b"\n")
            wanted = 2 * int(lines[0]) + 1 if lines[0].isdigit() and len(lines[0]) < 8 else 1
        self._left -= len(found)
        return lines[1:wanted]

    def _map_of_header(self, block: bytes) -> tuple[list[bytes], bytes]:
        """Old GNU format: four places in the header, more in blocks that follow it; and the whole size."""
        whole, places, count = number(block[483:495]), block[386:482], 4
        found: list[bytes] = []
        more = block[482]
        while True:
            for at in range(0, count * 24, 24):
                if places[at : at + 12].strip(b"\0"):
                    found += [b"%d" % number(places[at : at + 12]), b"%d" % number(places[at + 12 : at + 24])]
            if not more:
                return found, b"%d" % whole
            if len(found) * 12 > _MAX_HEADER:
                raise DamagedTarError("damaged map of a sparse file")
            next_block = self._exactly(BLOCK)
            places, count, more = next_block[:504], 21, next_block[504]

    def _header(self) -> bytes | None:
        """The next header; None at the end, which is two blocks of zeros or that of the stream."""
        block = self._block()
        if block != _ZEROS:
            return block
        if self._block() not in (None, _ZEROS):
            raise DamagedTarError("damaged header: a block of zeros between entries")
        return None

    def _block(self) -> bytes | None:
        if len(self._buffer) >= BLOCK:
            block, self._buffer = self._buffer[:BLOCK], self._buffer[BLOCK:]
            return bytes(block)
        return None if not self._buffer and not self._filled() else self._exactly(BLOCK)

    def _exactly(self, count: int) -> bytes:
        found = bytearray()
        while len(found) < count:
            found += self._piece(count - len(found))
        return bytes(found)

    def _skip(self, count: int) -> None:
        self._left = 0
        while count:
            count -= len(self._piece(count))

    def _write(self, fd: int, count: int) -> None:
        self._left -= count
        while count:
            piece = self._piece(count)
            count -= len(piece)
            done = os.write(fd, piece)
            while done < len(piece):
                done += os.write(fd, piece[done:])

    def _piece(self, most: int) -> memoryview:
        """At least one byte. Raises DamagedTarError at the end."""
        if not self._buffer and not self._filled():
            raise DamagedTarError("it is cut")
        piece, self._buffer = self._buffer[:most], self._buffer[most:]
        return piece

    def _filled(self) -> bool:
        self._buffer = memoryview(self._stream.read(_PIECE))
        return len(self._buffer) > 0
