"""Headers of tar archives (POSIX pax interchange format; GNU tar manual, "Basic Tar Format"), read with suspicion.

Everything here raises ``DamagedTarError``, a ValueError, for what does not follow the formats.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

BLOCK = 512
XATTR = b"SCHILY.xattr."
_TIME = re.compile(rb"(-?)(\d{1,19})(?:\.(\d*))?")
_DECIMAL = re.compile(rb"-?\d{1,19}")
_MAX_PIECES = 1 << 18


class DamagedTarError(ValueError):
    """An archive that is cut or does not follow the format."""


@dataclass(slots=True)
class Fields:
    """One header block. ``mtime`` in ns; ``kind`` is the type flag."""

    name: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    kind: bytes
    link: bytes


def fields(block: bytes) -> Fields:
    """Read one header block, whose checksum must be right."""
    said = number(block[148:156])
    # Eight blanks stand for the checksum in its own sum; very old writers summed signed bytes.
    found = sum(block) - sum(block[148:156]) + 256
    if said != found and said != found - 256 * sum(byte > 127 for byte in block[:148] + block[156:]):
        raise DamagedTarError("damaged header: wrong checksum")
    name, kind = text(block[:100]), block[156:157]
    if block[257:263] == b"ustar\0":
        prefix = text(block[345:476] if block[508:512] == b"tar\0" else block[345:500])
        name = prefix + b"/" + name if prefix else name
    if kind in (b"\0", b"0"):
        # Before POSIX, directories were files whose name ends so.
        kind = b"5" if kind == b"\0" and name.endswith(b"/") else b"0"
    return Fields(
        name,
        number(block[100:108]) & 0o7777,
        number(block[108:116]),
        number(block[116:124]),
        number(block[124:136]),
        number(block[136:148]) * 10**9,
        kind,
        text(block[157:257]),
    )


def number(data: bytes) -> int:
    """An octal number, or one in base 256 when the first bit is set."""
    if data[0] & 0x80:
        value = int.from_bytes(data, "big")
        bits = 8 * len(data)
        # The first bit is the mark; the next is the sign.
        return value - (1 << bits) if data[0] & 0x40 else value - (1 << (bits - 1))
    digits = data.strip(b" \0")
    end = digits.find(b"\0")
    try:
        return int(digits[:end] if end >= 0 else digits, 8) if digits else 0
    except ValueError:
        raise DamagedTarError(f"damaged header: {data!r} is no number") from None


def text(data: bytes) -> bytes:
    """A field that ends with the first NUL."""
    return data.partition(b"\0")[0]


def records(data: bytes) -> dict[bytes, bytes]:
    """Records of an extended header, ``LENGTH KEY=VALUE`` each. Places of sparse files are gathered under one key."""
    found: dict[bytes, bytes] = {}
    sparse: list[bytes] = []
    at = 0
    while at < len(data) and data[at]:  # some writers pad with NULs
        blank = data.find(b" ", at, at + 9)
        digits = data[at:blank] if blank > 0 else b""
        end = at + int(digits) if digits.isdigit() else 0
        key, equal, value = data[blank + 1 : end - 1].partition(b"=")
        if not blank < end <= len(data) or data[end - 1 : end] != b"\n" or not equal or not key:
            raise DamagedTarError("damaged extended header")
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            sparse.append(value)
        else:
            found[key] = value
        at = end
    if sparse:
        found[b"GNU.sparse.map"] = b",".join(sparse)
    return found


def applied(header: Fields, extended: Mapping[bytes, bytes]) -> None:
    """Let an extended header's records take the place of the header's fields."""
    header.name = extended.get(b"path", header.name)
    header.link = extended.get(b"linkpath", header.link)
    for key in (b"uid", b"gid", b"size"):
        if extended.get(key):
            if not _DECIMAL.fullmatch(extended[key]):
                raise DamagedTarError(f"damaged extended header: {key.decode()} {extended[key][:40]!r}")
            setattr(header, key.decode(), int(extended[key]))
    if extended.get(b"mtime"):
        header.mtime = _time(extended[b"mtime"])


def _time(data: bytes) -> int:
    match = _TIME.fullmatch(data)
    if not match:
        raise DamagedTarError(f"damaged extended header: mtime {data[:40]!r}")
    found = int(match[2]) * 10**9 + int((match[3] or b"")[:9].ljust(9, b"0"))
    return -found if match[1] else found


def sparse_map(numbers: list[bytes], stored: int, whole: int) -> list[tuple[int, int]]:
    """Offset and size of each piece of a sparse file of ``whole`` bytes, of which ``stored`` are in the archive."""
    if len(numbers) % 2 or len(numbers) > 2 * _MAX_PIECES or not all(_DECIMAL.fullmatch(item) for item in numbers):
        raise DamagedTarError("damaged map of a sparse file")
    pieces = list(zip(map(int, numbers[::2]), map(int, numbers[1::2]), strict=True))
    end = 0
    for offset, size in pieces:
        if offset < end or size < 0:
            raise DamagedTarError("damaged map of a sparse file")
        end = offset + size
    if end > whole or sum(size for _, size in pieces) != stored:
        raise DamagedTarError("damaged map of a sparse file")
    return pieces
