"""libnftables by ctypes: one transaction for each call, no process started (about 0.1 ms instead of 3)."""

from __future__ import annotations

import ctypes
import functools
import json
import shutil
import signal
import socket
import struct
import subprocess
import threading
from pathlib import Path
from typing import Any

from bayplan.errors import RuntimeFailureError, UnsupportedError

_OUTPUT_JSON = 1 << 4
_SBIN = "/usr/sbin:/sbin"
_lock = threading.Lock()
_NETLINK_NETFILTER, _NEWGEN, _GETGEN = 12, 10 << 8 | 15, 10 << 8 | 16
_GEN_ID = 1
"""Attribute of a ruleset's generation (linux/netfilter/nf_tables.h, NFTA_GEN_ID)."""
_listed: dict[tuple[int, str], tuple[int, str]] = {}
"""What was listed, with the generation of the rules then, by network namespace and command."""
_LISTED = 256


@functools.cache
def _library() -> ctypes.CDLL:
    _probe()
    try:
        library = ctypes.CDLL("libnftables.so.1", use_errno=True)
    except OSError as error:
        raise UnsupportedError(f"libnftables is missing: {error}", hint="install package nftables") from error
    library.nft_ctx_new.restype = ctypes.c_void_p
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, name).restype = ctypes.c_char_p
    return library


def _probe() -> None:
    """See once, in a process of its own, whether this host's nft can read this host's rules.

    nft 1.0.6 (Debian 12) ends with a segmentation fault while a table of nft 1.1 is there, made by a container of a
    newer release in the same network namespace; inside this process that would end an apply in the middle.
    """
    try:
        # Without a login, over ssh or in a service, there may be no sbin in PATH.
        program = shutil.which("nft") or shutil.which("nft", path=_SBIN) or "nft"
        done = subprocess.run([program, "list", "ruleset"], capture_output=True, check=False)
    except FileNotFoundError as error:
        raise UnsupportedError("program nft is not installed", hint="install package nftables") from error
    if done.returncode < 0:
        raise UnsupportedError(
            f"nft of this host ends with {signal.Signals(-done.returncode).name} when it reads this host's rules",
            hint="a table was probably made by a newer nft; upgrade the package nftables, or remove that table",
        )


def run(commands: str) -> str:
    """Carry out commands in the language of nft(8): all of them or none. Raises RuntimeFailureError with its words."""
    return _execute(commands, 0)


def accepts(commands: str) -> bool:
    """Whether the kernel would carry them out now; it does not (nft(8), ``--check``)."""
    try:
        _execute(commands, 0, dry=True)
    except RuntimeFailureError:
        return False
    return True


def listing(what: str) -> list[dict[str, Any]]:
    """``list WHAT`` as JSON objects (libnftables-json(5)); empty when it does not exist.

    What is asked again while no rule of the network namespace was changed is not listed again: nft takes some 2 ms, the
    kernel's count of changes 0.05. What packets alone change, counters, may be that of the first time.
    """
    key = (Path("/proc/thread-self/ns/net").stat().st_ino, what)
    before = _generation()
    known = _listed.get(key)
    if known and known[0] == before:
        text = known[1]
    else:
        text = _text(what)
        if before is not None and _generation() == before:
            if len(_listed) >= _LISTED:
                _listed.clear()
            _listed[key] = (before, text)
    return list(json.loads(text)["nftables"]) if text else []


def _text(what: str) -> str:
    try:
        return _execute(f"list {what}", _OUTPUT_JSON)
    except RuntimeFailureError as error:
        if "No such file" in error.output:
            return ""
        raise


def _generation() -> int | None:
    """The number that every change of the namespace's rules makes greater; None where the kernel does not say."""
    question = struct.pack("=IHHIIBBH", 20, _GETGEN, 1, 1, 0, 0, 0, 0)  # NLM_F_REQUEST; an empty nfgenmsg
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as asked:
            asked.settimeout(1)
            asked.sendto(question, (0, 0))
            answer = asked.recv(4096)
    except OSError:
        return None
    place = 20
    if len(answer) < place or struct.unpack_from("=H", answer, 4)[0] != _NEWGEN:
        return None
    while place + 4 <= len(answer):
        length, kind = struct.unpack_from("=HH", answer, place)
        if kind == _GEN_ID:
            return int(struct.unpack_from(">I", answer, place + 4)[0])
        place += max(4, (length + 3) & ~3)
    return None


def _execute(commands: str, flags: int, *, dry: bool = False) -> str:
    library = _library()
    # A context of its own for each call: it caches the ruleset, which others may have changed meanwhile.
    with _lock:
        context = ctypes.c_void_p(library.nft_ctx_new(0))
        try:
            library.nft_ctx_output_set_flags(context, flags)
            library.nft_ctx_set_dry_run(context, ctypes.c_bool(dry))
            library.nft_ctx_buffer_output(context)
            library.nft_ctx_buffer_error(context)
            failed = library.nft_run_cmd_from_buffer(context, commands.encode())
            output = (library.nft_ctx_get_output_buffer(context) or b"").decode()
            error = (library.nft_ctx_get_error_buffer(context) or b"").decode()
        finally:
            library.nft_ctx_free(context)
    if failed:
        raise RuntimeFailureError(f"nftables refused the rules: {error.strip()}", output=error)
    return output
