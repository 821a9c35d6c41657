"""Signals by name, as people write them (signal(7), kill(1))."""

from __future__ import annotations

import re
import signal

from bayplan.errors import UnsupportedError


def signal_number(name: str) -> int:
    """A signal by name, with or without ``SIG``, or by number (signal(7))."""
    if name.isascii() and name.isdigit() and 0 < int(name[:9]) < signal.NSIG:
        return int(name)
    # Real-time signals are named from both ends of their range: RTMIN+3, RTMAX-2 (signal(7), kill(1)).
    number: int | None
    relative = re.fullmatch(r"(?:SIG)?(RTMIN\+|RTMAX-)(\d{1,2})", name.upper())
    if relative:
        base, offset = relative.groups()
        number = signal.SIGRTMIN + int(offset) if base == "RTMIN+" else signal.SIGRTMAX - int(offset)
        number = number if signal.SIGRTMIN <= number <= signal.SIGRTMAX else None
    else:
        number = getattr(signal, f"SIG{name.upper().removeprefix('SIG')}", None)
    if number is None:
        raise UnsupportedError(f"unknown signal {name}", hint="see signal(7)")
    return int(number)
