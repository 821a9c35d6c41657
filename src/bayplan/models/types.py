"""Scalar types of declarations: durations, byte sizes, names, capabilities, digests.

Spellings follow the Compose specification: durations need a unit (``1m30s``), sizes are 1024-based (``1.5GiB``,
``512m``; a bare number is bytes).
"""

from __future__ import annotations

import re
import signal
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, GetCoreSchemaHandler, StringConstraints
from pydantic_core import CoreSchema, core_schema

_UNITS_NS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([kmgtp]?)i?b?\s*$", re.IGNORECASE)
_SIZE_STEPS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


class Duration(timedelta):
    """A length of time with microsecond resolution; text form ``1h2m3.5s``."""

    @classmethod
    def parse(cls, value: object) -> Duration:
        """Read ``1m30s`` and the like, or take a timedelta. Raises ValueError for anything else (bare numbers too)."""
        if isinstance(value, timedelta):
            return cls(microseconds=value // timedelta(microseconds=1))
        text = str(value).strip() if isinstance(value, str) else ""
        if text == "0":
            return cls()
        parts = _DURATION_PART.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            raise ValueError(f"not a duration: {value!r}; write a number with a unit, such as 30s or 1m30s")
        try:
            return cls(microseconds=int(sum(Decimal(number) * _UNITS_NS[unit] for number, unit in parts) / 1000))
        except ArithmeticError as error:
            raise ValueError(f"duration {text[:40]!r} is too long") from error

    def __str__(self) -> str:
        micro = self // timedelta(microseconds=1)
        if micro == 0:
            return "0s"
        hours, rest = divmod(micro, 3600 * 10**6)
        minutes, rest = divmod(rest, 60 * 10**6)
        seconds = f"{Decimal(rest) / 10**6:f}".rstrip("0").rstrip(".") if rest % 10**6 else str(rest // 10**6)
        text = (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes else "")
        return text + (f"{seconds}s" if rest else "")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate by ``parse``; serialise as text."""
        return core_schema.no_info_plain_validator_function(cls.parse, serialization=core_schema.to_string_ser_schema())

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        """A string in JSON schema."""
        return {"type": "string", "format": "duration", "examples": ["1m30s"]}


class ByteSize(int):
    """A number of bytes; text form in the largest unit that divides it (``512MiB``); JSON form an integer of bytes."""

    @classmethod
    def parse(cls, value: object) -> ByteSize:
        """Read ``512m``, ``1.5GiB``, ``1024`` (bytes). Raises ValueError otherwise."""
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise ValueError(f"not a size: {value!r}; write bytes or a unit, such as 512m")  # noqa: TRY004 - pydantic
        if isinstance(value, int):
            return cls(value)
        found = _SIZE.match(value)
        if not found:
            raise ValueError(f"not a size: {value!r}; write bytes or a unit, such as 512m")
        return cls(Decimal(found[1]) * 1024 ** _SIZE_STEPS[found[2].lower()])

    def __str__(self) -> str:
        for step, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
            if int(self) and int(self) % 1024**step == 0:
                return f"{int(self) // 1024**step}{unit}"
        return f"{int(self)}B"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate by ``parse``; serialise as an integer."""
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(int)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        """An integer or a string with a unit in JSON schema."""
        return {"anyOf": [{"type": "integer"}, {"type": "string"}], "examples": ["512m"]}


CAPABILITY_NUMBERS = (
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
)
"""capabilities(7), Linux 5.9 and later; each stands at its number."""
CAPABILITIES = frozenset(CAPABILITY_NUMBERS)


def _capability(value: object) -> str:
    name = str(value).upper().removeprefix("CAP_")
    if name != "ALL" and name not in CAPABILITIES:
        raise ValueError(f"unknown capability {value!r}; see capabilities(7)")
    return name


Capability = Annotated[str, BeforeValidator(_capability)]
"""A capability by its name in capabilities(7) without ``CAP_``, or ``ALL``."""


def _signal_name(value: object) -> str:
    text = str(value).upper()
    named = {str(int(one)): one.name for one in signal.Signals}.get(text, text)
    return named if named.startswith("SIG") or named.isdigit() else f"SIG{named}"


SignalName = Annotated[str, BeforeValidator(_signal_name)]
"""A signal as SIGNAME, however it was spelled: ``term``, ``SIGTERM`` and ``15`` are one (signal(7))."""

HostName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,252}$")]
"""A name by which a container is found: what hosts(5) and DNS both hold, in practice with underscores."""

ResourceName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$")]
"""A name of a container, network or volume."""

ProjectName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
"""A Compose project name (Compose specification, "name")."""

Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
"""A content digest (OCI image specification, descriptor, "digests"). Only sha256 is accepted."""

EnvName = Annotated[str, StringConstraints(pattern=r"^[^=\x00]+$")]
"""A name of an environment variable: anything without ``=`` and NUL."""


def absolute(value: str) -> str:
    """A normalised absolute path. Raises ValueError for any other."""
    if not value.startswith("/"):
        raise ValueError(f"path {value!r} must be absolute")
    if "\x00" in value or ".." in value.split("/"):
        raise ValueError(f"path {value!r} must not contain '..' or NUL")
    return value if value == "/" else "/" + "/".join(part for part in value.split("/") if part)


AbsolutePath = Annotated[str, AfterValidator(absolute)]
"""An absolute path, normalised (no doubled or trailing slash), without ``..``."""
