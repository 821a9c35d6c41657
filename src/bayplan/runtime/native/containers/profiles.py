"""Seccomp profiles in Docker's JSON form, compiled to BPF by libseccomp.

The form is that of moby's ``profiles/seccomp``: rules that hold only with or without capabilities, architectures or
from a kernel on are resolved here, as Docker does before it hands them to a runtime.
"""

from __future__ import annotations

import base64
import ctypes
import errno
import functools
import hashlib
import json
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayplan.errors import DeclarationError, NotFoundError
from bayplan.runtime.native.containers import seccomp

_PLAIN = {"ALLOW": 0x7FFF0000, "LOG": 0x7FFC0000, "KILL": 0, "KILL_THREAD": 0, "KILL_PROCESS": 0x80000000}
_WITH_VALUE = {"ERRNO": 0x00050000, "TRACE": 0x7FF00000}
_TRAP = 0x00030000
_OPERATORS = {"NE": 1, "LT": 2, "LE": 3, "EQ": 4, "GE": 5, "GT": 6, "MASKED_EQ": 7}
_DOCKER_NAMES = {"x86_64": "amd64", "aarch64": "arm64", "i686": "x86", "armv7l": "arm", "ppc64le": "ppc64le"}
_MOST_BYTES = 4 << 20


def filter_of(path: Path, held: frozenset[str], cache: Path, *, keep: bool = True) -> str:
    """Base64 of the BPF program of a profile for a set of capabilities; with ``keep`` kept in ``cache`` by its content.

    Raises NotFoundError for a file that is not there, DeclarationError for one that is no profile.
    """
    try:
        data = path.read_bytes()[:_MOST_BYTES]
    except OSError as error:
        raise NotFoundError(f"seccomp profile {path} cannot be read: {error.strerror}", hint="create it") from error
    library = seccomp.library()
    key = hashlib.sha256(f"profile 1 {library.version} {platform.release()} {sorted(held)}".encode() + data).hexdigest()
    kept = cache / f"{key}.bpf"
    try:
        program = kept.read_bytes()
    except FileNotFoundError:
        try:
            profile = json.loads(data)
            program = _compile(library.raw, profile, held)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DeclarationError(f"not a seccomp profile in Docker's form: {error}", where=str(path)) from error
    if keep:
        seccomp.keep_program(kept, program)
    return base64.b64encode(program).decode()


def section(path: Path, held: frozenset[str]) -> dict[str, Any]:
    """A profile as ``linux.seccomp`` of the runtime specification, for a set of capabilities. Errors: ``filter_of``."""
    try:
        profile = json.loads(path.read_bytes()[:_MOST_BYTES])
        calls = [_plain(rule) for rule in profile.get("syscalls") or () if _holds(rule, held)]
        found = {"defaultAction": profile["defaultAction"], "syscalls": calls}
        native = "SCMP_ARCH_" + platform.machine().upper()
        more = [f"SCMP_ARCH_{name.upper()}" for name in _more_architectures(profile)]
    except OSError as error:
        raise NotFoundError(f"seccomp profile {path} cannot be read: {error.strerror}", hint="create it") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DeclarationError(f"not a seccomp profile in Docker's form: {error}", where=str(path)) from error
    if profile.get("defaultErrnoRet") is not None:
        found["defaultErrnoRet"] = profile["defaultErrnoRet"]
    return {**found, "architectures": [native, *more]}


def _plain(rule: Mapping[str, Any]) -> dict[str, Any]:
    found = {"names": [str(name) for name in rule.get("names") or [rule["name"]]], "action": rule["action"]}
    more = {"errnoRet": rule.get("errnoRet"), "args": rule.get("args") or None}
    return found | {name: value for name, value in more.items() if value is not None}


def _compile(lib: Any, profile: Mapping[str, Any], held: frozenset[str]) -> bytes:
    default = _action(profile["defaultAction"], profile.get("defaultErrnoRet"))
    context = ctypes.c_void_p(lib.seccomp_init(default))
    try:
        for name in _more_architectures(profile):
            lib.seccomp_arch_add(context, lib.seccomp_arch_resolve_name(name.encode()))
        for rule in profile.get("syscalls") or ():
            if _holds(rule, held):
                _add(lib, context, rule, default)
        return seccomp.export(lib, context)
    finally:
        lib.seccomp_release(context)


def _add(lib: Any, context: ctypes.c_void_p, rule: Mapping[str, Any], default: int) -> None:
    action = _action(rule["action"], rule.get("errnoRet"))
    if action == default:
        # libseccomp refuses a rule that says what happens anyway.
        return
    given = rule.get("args") or ()
    compared = (seccomp.Argument * max(1, len(given)))(*(_argument(one) for one in given))
    for name in rule.get("names") or [rule["name"]]:
        number = lib.seccomp_syscall_resolve_name(str(name).encode())
        if number == -1:  # one that this libseccomp does not know: the default action
            continue
        result = lib.seccomp_rule_add_array(context, action, number, len(given), compared)
        if result < 0 and -result not in (errno.EEXIST, errno.EDOM):
            raise ValueError(f"libseccomp refuses the rule for {name}: {os.strerror(-result)}")


def _argument(given: Mapping[str, Any]) -> Any:
    operator = _OPERATORS[str(given["op"]).removeprefix("SCMP_CMP_")]
    return seccomp.Argument(int(given["index"]), operator, int(given["value"]), int(given.get("valueTwo", 0)))


def _action(text: str, value: int | None) -> int:
    name = str(text).removeprefix("SCMP_ACT_")
    if name in _WITH_VALUE:
        return _WITH_VALUE[name] | (errno.EPERM if value is None else int(value))
    if name == "TRAP":
        return _TRAP
    if name not in _PLAIN:
        raise ValueError(f"unknown action {text!r}")
    return _PLAIN[name]


def _holds(rule: Mapping[str, Any], held: frozenset[str]) -> bool:
    """Whether its ``includes`` and ``excludes`` let a rule stand."""
    wants, bars = rule.get("includes") or {}, rule.get("excludes") or {}
    machine = _DOCKER_NAMES.get(platform.machine(), platform.machine())
    names = {f"CAP_{name}" for name in held}
    if wants.get("arches") and machine not in wants["arches"]:
        return False
    if machine in (bars.get("arches") or ()):
        return False
    if not set(wants.get("caps") or ()) <= names or set(bars.get("caps") or ()) & names:
        return False
    if wants.get("minKernel") and _kernel() < _version(wants["minKernel"]):
        return False
    return not (bars.get("minKernel") and _kernel() >= _version(bars["minKernel"]))


def _more_architectures(profile: Mapping[str, Any]) -> list[str]:
    """The further architectures that this machine's kernel runs, by libseccomp's names."""
    native = "SCMP_ARCH_" + platform.machine().upper()
    for entry in profile.get("archMap") or ():
        if entry["architecture"] == native:
            return [name.removeprefix("SCMP_ARCH_").lower() for name in entry.get("subArchitectures") or ()]
    return [name.removeprefix("SCMP_ARCH_").lower() for name in profile.get("architectures") or () if name != native]


@functools.cache
def _kernel() -> tuple[int, int]:
    return _version(platform.release())


def _version(text: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", str(text))
    if not found:
        raise ValueError(f"not a kernel version: {text!r}")
    return int(found[1]), int(found[2])
