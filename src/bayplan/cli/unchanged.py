"""An apply that has nothing to do, known again before anything is loaded.

A plan is what comes of what it reads: files, the environment, an engine's answers, the kernel's links and rules. When
an apply on Docker or Podman leaves nothing to do, all of that is noted (``cli.standing``). When the same command finds
all of it as it was, there is nothing to do again, and it is said without a plan: pydantic and our own modules alone
would take longer than the questions. Whatever differs, or cannot be asked, is planned as ever. See
docs/decisions/0017-unchanged.md.

Only modules that load in a moment are imported here.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys

from bayplan import __version__

MYPY = False
if MYPY:  # mypy takes that for true; typing loads in 4 ms
    from typing import Any, BinaryIO

FORMAT = 1
ENGINES = frozenset({"docker", "podman"})
"""Whose answers are all that a plan reads of a host; the native core reads the kernel itself."""
_LIMIT_S = 5.0
_AT_ONCE = 64
"""Questions that are sent before an answer is read: fewer bytes than a socket holds."""
_PASSING = frozenset({"_", "OLDPWD", "SHLVL", "PYDANTIC_DISABLE_PLUGINS"})
"""Variables that differ from call to call and mean nothing; the last one is our own doing (``bridge.starting``)."""
_MOVING_FACTS = frozenset(
    {"Containers", "ContainersPaused", "ContainersRunning", "ContainersStopped", "Images", "SystemTime"}
    | {"NEventsListener", "NFd", "NGoroutines", "MemFree", "SwapFree", "Uptime", "ID"}
)
"""What ``/info`` counts; Podman makes up an id for each answer."""


def recognised(arguments: list[str]) -> str | None:
    """What an apply printed that found nothing to do, when this one would read all the same; else None."""
    if "apply" not in arguments:
        return None
    try:
        with open(place(arguments), encoding="utf-8") as file:  # noqa: PTH123 - pathlib takes 5 ms
            noted = json.load(file)
        stands = noted["format"] == FORMAT and _stands(noted)
        return str(noted["output"]) if stands else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def place(arguments: list[str]) -> str:
    """The file that knows this command: its arguments, directory, environment, user and terminal by a hash.

    And by its network namespace: only in its engine's own does a plan look at links and rules.
    """
    environment = sorted(item for item in os.environ.items() if item[0] not in _PASSING)
    who = (os.geteuid(), os.getegid(), os.stat("/proc/self/ns/net").st_ino, sys.stdout.isatty())  # noqa: PTH116
    command = repr((FORMAT, __version__, sys.version, arguments, os.getcwd(), environment, who))  # noqa: PTH109
    return f"{state_root()}/unchanged/{digest(command.encode())[:32]}.json"


def state_root() -> str:
    """Where other engines' notes are kept, as far as the environment says (``bayplan.engines.chosen``)."""
    usual = "/var/lib/bayplan"
    if os.geteuid() != 0:
        home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")  # noqa: PTH111
        usual = f"{home}/bayplan"
    return os.environ.get("BAYPLAN_STATE_ROOT", usual)


def digest(content: bytes) -> str:
    """In hex."""
    return hashlib.blake2b(content, digest_size=32).hexdigest()


def signature(path: str) -> list[int] | None:
    """What is another when a file's content is; None where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return [found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_mode, found.st_uid]


def steady(question: str, content: bytes) -> str:
    """A digest of an answer without what changes by itself: counts, texts with a time in them, logs of checks."""
    document: Any = json.loads(content) if content.strip() not in (b"", b"OK") else None
    if isinstance(document, dict):
        if question.endswith("/info"):
            document = {name: value for name, value in document.items() if name not in _MOVING_FACTS}
        document.pop("ExecIDs", None)
        state = document.get("State")
        if isinstance(state, dict) and isinstance(state.get("Health"), dict):
            state["Health"].pop("Log", None)
    for one in (document or ()) if "/containers/json" in question else ():
        one.pop("Status", None)  # "Up 3 minutes"
    _settle(document)
    return digest(json.dumps(document, sort_keys=True).encode())


def _settle(value: Any) -> None:
    """Bring objects and pairs of a list into one order: engines list networks, ulimits and facts in that of a map."""
    for item in value.values() if isinstance(value, dict) else value or ():
        if isinstance(item, (dict, list)):
            _settle(item)
    if isinstance(value, list) and len(value) > 1 and isinstance(value[0], (dict, list)):
        value.sort(key=lambda item: json.dumps(item, sort_keys=True))


def kernel(bridges: list[str], versions: list[int]) -> list[Any]:
    """State of links, and digests of the host's packet filter by table and version of IP."""
    from bayplan.system import links, xtables

    tables = [(version, table) for version in versions for table in ("filter", "nat")]
    rules = [digest(repr(xtables.rules(table, version)).encode()) for version, table in tables]
    return [[list(links.state(name)) for name in bridges], rules]


def _stands(noted: dict[str, Any]) -> bool:
    if any(signature(path) != found for path, found in noted["files"]):
        return False
    if any(os.path.exists(path) is not there for path, there in noted["there"]):  # noqa: PTH110
        return False
    if (looked := noted["kernel"]) and kernel(looked[0], looked[1]) != looked[2]:
        return False
    answers = _answers(noted["socket"], [question for question, _ in noted["answers"]])
    known = noted["answers"]
    return all(steady(asked, content) == said for (asked, said), content in zip(known, answers, strict=True))


def _answers(path: str, questions: list[str]) -> list[bytes]:
    """Bodies of an engine's answers, many questions at a time. Raises OSError, ValueError for what is no plain one."""
    found: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as engine:
        engine.settimeout(_LIMIT_S)
        engine.connect(path)
        with engine.makefile("rb") as stream:
            for begin in range(0, len(questions), _AT_ONCE):
                part = questions[begin : begin + _AT_ONCE]
                heads = (f"GET {one} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bayplan\r\n\r\n" for one in part)
                engine.sendall("".join(heads).encode())
                found += [_body(stream) for _ in part]
    return found


def _body(stream: BinaryIO) -> bytes:
    """One answer's (RFC 9112, 6 and 7.1): of a known length, or in chunks."""
    line, read = stream.readline, stream.read
    if line().split()[1:2] != [b"200"]:
        raise ValueError("no plain answer")
    length = 0
    while (head := line().strip().lower()) != b"":
        name, _, value = head.partition(b":")
        if name == b"content-length":
            length = int(value)
        elif name == b"transfer-encoding":
            length = -1
    if length >= 0:
        return read(length)
    parts = []
    while size := int(line().partition(b";")[0], 16):
        parts.append(read(size))
        line()
    line()
    return b"".join(parts)
