"""``--chmod`` of COPY and ADD: octal, or symbolic as chmod(1) has it (``u=rwX,go=rX``)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)")
_ACTION = re.compile(r"([-+=])([ugo]|[rwxXst]*)")
_SHIFTS = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}
_SPECIAL = {"u": 0o4000, "g": 0o2000, "o": 0}


@dataclass(frozen=True)
class Mode:
    """A mode as written; ``key`` tells it apart from others."""

    key: int | str

    @classmethod
    def parse(cls, text: str) -> Mode:
        """Raises ValueError for what chmod(1) would not take."""
        if re.fullmatch(r"[0-7]{1,5}", text) and int(text, 8) <= 0o7777:
            return cls(int(text, 8))
        if not text or not all(_CLAUSE.fullmatch(clause) for clause in text.split(",")):
            raise ValueError(f"--chmod={text} is neither octal nor as chmod(1) has it; such as 0644 or u=rwX,go=rX")
        return cls(text)

    def of(self, mode: int, *, is_directory: bool) -> int:
        """What becomes of ``mode``. Without ``u``, ``g``, ``o`` all are meant, whatever the umask."""
        if isinstance(self.key, int):
            return self.key
        for clause in self.key.split(","):
            match = _CLAUSE.fullmatch(clause)
            assert match is not None
            who = "ugo" if not match[1] or "a" in match[1] else match[1]
            for sign, letters in _ACTION.findall(match[2]):
                mode = _changed(mode, who, sign, letters, is_directory=is_directory)
        return mode


def _changed(mode: int, who: str, sign: str, letters: str, *, is_directory: bool) -> int:
    bits, whole = 0, 0
    before = mode
    for person in who:
        shift = _SHIFTS[person]
        own = sum(value for letter, value in _BITS.items() if letter in letters)
        if "X" in letters and (is_directory or before & 0o111):
            own |= 1
        if letters in _SHIFTS:
            own = before >> _SHIFTS[letters] & 7
        bits |= own << shift
        bits |= _SPECIAL[person] if "s" in letters else 0
        whole |= 7 << shift | _SPECIAL[person]
    if "t" in letters:
        bits |= 0o1000
    if sign == "+":
        return mode | bits
    return mode & ~bits if sign == "-" else mode & ~whole | bits
