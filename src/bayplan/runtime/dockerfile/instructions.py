"""A Dockerfile as instructions with their lines (docs.docker.com, "Dockerfile reference")."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bayplan.errors import DeclarationError, Location, NotBuiltYetError
from bayplan.runtime.dockerfile import heredoc
from bayplan.runtime.dockerfile.heredoc import Heredoc

BUILT = frozenset(
    (
        *("FROM", "RUN", "COPY", "ADD", "ENV", "ARG", "WORKDIR", "USER", "EXPOSE", "ENTRYPOINT", "CMD", "LABEL"),
        *("VOLUME", "STOPSIGNAL", "HEALTHCHECK", "SHELL", "ONBUILD", "MAINTAINER"),
    )
)
_NO_TRIGGER = frozenset(("ONBUILD", "FROM", "MAINTAINER"))
_FRONTEND = re.compile(r"^(docker\.io/)?docker/dockerfile(:1[\w.-]*)?$")
_DIRECTIVE = re.compile(r"^#\s*([a-zA-Z]+)\s*=\s*(.+?)\s*$")
_FLAG = re.compile(r"--([a-z-]+)(?:=(\S*))?(?:\s+|$)")
_FLAGS = {
    "FROM": {"platform"},
    "RUN": {"mount", "network", "security"},
    "COPY": {"from", "chown", "chmod", "link", "parents", "exclude"},
    "ADD": {"chown", "chmod", "link", "exclude", "checksum", "keep-git-dir", "unpack"},
    "HEALTHCHECK": {"interval", "timeout", "start-period", "start-interval", "retries"},
}
_SWITCHES = {"keep-git-dir", "unpack", "link", "parents"}
_LATER_FLAGS = {
    "RUN": {"device": "a command with --security=insecure has the host's devices, when the build allows that"},
}
"""Flags that exist and are not built, to what does instead."""


@dataclass(frozen=True)
class Instruction:
    """One instruction. ``text`` is what follows its name and flags, on one line; ``words`` its JSON form, if it is."""

    name: str
    text: str
    where: Location
    flags: tuple[tuple[str, str], ...] = ()
    words: tuple[str, ...] | None = None
    escape: str = "\\"
    heredocs: tuple[Heredoc, ...] = ()

    def flag(self, name: str) -> str | None:
        """The value of ``--name=``."""
        return dict(self.flags).get(name)

    def wrong(self, what: str, hint: str = "") -> DeclarationError:
        """The error that this instruction is wrong."""
        return DeclarationError(f"{self.name}: {what}", where=self.where, hint=hint)

    def later(self, what: str, hint: str = "") -> NotBuiltYetError:
        """The error that this exists but is not built here yet."""
        return NotBuiltYetError(f"{self.name}: {what} is not built yet", where=self.where, hint=hint)

    def __str__(self) -> str:
        flags = (
            f"--{name}" if name in _SWITCHES and value == "true" else f"--{name}={value}" for name, value in self.flags
        )
        text = " ".join((self.name, *flags, self.text))
        return text + "".join(item.written() for item in self.heredocs)

    @property
    def title(self) -> str:
        """Its first line."""
        return str(self).partition("\n")[0]


def parse(text: str, file: str) -> tuple[Instruction, ...]:
    """Every instruction in order. Raises DeclarationError or NotBuiltYetError with file and line."""
    escape = _directives(text, file)
    found = [
        _instruction(line, Location(file, number), escape, own) for number, line, own in _joined(text, file, escape)
    ]
    if not found:
        raise DeclarationError("the Dockerfile has no instruction", where=Location(file), hint="it starts with FROM")
    return tuple(found)


def trigger(text: str, where: Location) -> Instruction:
    """An instruction that ``ONBUILD`` keeps for later, said to stand at ``where``. Raises DeclarationError."""
    word = (text.split() or [""])[0]
    try:
        found = () if word.upper() in _NO_TRIGGER else parse(text, where.file)
    except DeclarationError as error:
        error.where = where
        raise
    if len(found) != 1:
        raise DeclarationError(f"ONBUILD: {word} cannot be kept for a later build", where=where)
    return replace(found[0], where=where)


def notes(text: str, instructions: Sequence[Instruction], file: str) -> tuple[str, ...]:
    """What a user should know of a Dockerfile that is built all the same."""
    found = []
    for number, name, value in _directive_lines(text):
        if name == "syntax" and not _FRONTEND.match(value):
            what = "the frontend is not fetched, the instructions are read as docker/dockerfile has them"
            found.append(f"{Location(file, number)}: # syntax={value} is ignored: {what}")
    found += [
        f"{item.where}: MAINTAINER is deprecated; write LABEL org.opencontainers.image.authors instead"
        for item in instructions
        if item.name == "MAINTAINER"
    ]
    return tuple(found)


def _directive_lines(text: str) -> Iterator[tuple[int, str, str]]:
    """Directives with their line. They stand before everything else, comments included ("Parser directives")."""
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        match = _DIRECTIVE.match(line.strip())
        if not match or match[1].lower() not in ("escape", "syntax", "check"):
            break
        yield number, match[1].lower(), match[2]


def _directives(text: str, file: str) -> str:
    """The escape sign."""
    escape = "\\"
    for number, name, value in _directive_lines(text):
        if name == "escape":
            if value not in ("\\", "`"):
                raise DeclarationError(f"escape={value}: only \\ and ` can be it", where=Location(file, number))
            escape = value
    return escape


def _joined(text: str, file: str, escape: str) -> list[tuple[int, str, tuple[Heredoc, ...]]]:
    """Logical lines with the number of their first and their heredocs.

    Continuations are joined; comments and empty lines inside are dropped, but for those of a heredoc.
    """
    found: list[tuple[int, str, tuple[Heredoc, ...]]] = []
    pieces: list[str] = []
    first, at = 0, 0
    lines = text.removeprefix("\ufeff").split("\n")
    continued = re.compile(rf"{re.escape(escape)}[ \t]*$")
    while at < len(lines):
        raw, at = lines[at].rstrip("\r"), at + 1
        if raw.lstrip().startswith("#") or not raw.strip():
            continue
        first = first if pieces else at
        shortened = continued.sub("", raw)
        pieces.append(shortened)
        if shortened == raw:
            line, pieces = "".join(pieces).strip(), []
            own, at = heredoc.read(line, lines, at, escape, Location(file, first))
            found.append((first, line, own))
    if pieces:
        found.append((first, "".join(pieces).strip(), ()))
    return [item for item in found if item[1]]


def _instruction(line: str, where: Location, escape: str, own: tuple[Heredoc, ...]) -> Instruction:
    word, _, rest = line.partition(" ") if " " in line.replace("\t", " ") else (line, "", "")
    if "\t" in word:
        word, _, rest = line.partition("\t")
    name = word.upper()
    if name not in BUILT:
        import difflib

        near = difflib.get_close_matches(name, BUILT, 1)
        raise DeclarationError(
            f"unknown instruction {word!r}", where=where, hint=f"did you mean {near[0]}?" if near else ""
        )
    flags, text = _flags(name, rest.strip(), where)
    found = Instruction(name, text, where, flags, exec_form(text), escape, own)
    if not text:
        raise found.wrong("says nothing")
    if name == "ONBUILD":
        trigger(kept(found), where)
    return found


def kept(item: Instruction) -> str:
    """What ``ONBUILD`` keeps: the instruction as it stands."""
    return item.text + "".join(own.written() for own in item.heredocs)


def _flags(name: str, text: str, where: Location) -> tuple[tuple[tuple[str, str], ...], str]:
    flags: list[tuple[str, str]] = []
    # An option of the checked command follows CMD, so only those in front are flags.
    while match := _FLAG.match(text):
        flag, value = match[1], match[2]
        if flag in _LATER_FLAGS.get(name, ()):
            raise NotBuiltYetError(f"{name} --{flag} is not built yet", where=where, hint=_LATER_FLAGS[name][flag])
        if flag not in _FLAGS.get(name, ()):
            raise DeclarationError(f"{name} has no flag --{flag}", where=where)
        if value is None and flag in _SWITCHES:
            value = "true"
        if not value:
            raise DeclarationError(f"{name} --{flag} needs a value", where=where, hint=f"--{flag}=...")
        flags.append((flag, value))
        text = text[match.end() :]
    return tuple(flags), text


def exec_form(text: str) -> tuple[str, ...] | None:
    """The words of a list in JSON; None for what is no list of strings, which is the shell form, as Docker reads it."""
    if not text.startswith("["):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        return None
    return tuple(found)
