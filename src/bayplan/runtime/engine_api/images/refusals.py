"""What of a Dockerfile an engine's own builder cannot do, told before anything is built.

Docker's builder behind the API is the one from before BuildKit: it knows neither mounts of RUN nor here-documents,
and misreads the latter. Podman's has the mounts; here-documents only since Buildah 1.33 (Podman 4.8).
"""

from __future__ import annotations

from collections.abc import Iterator

from bayplan.errors import DeclarationError, NotBuiltYetError, UnsupportedError
from bayplan.models import Build
from bayplan.runtime.dockerfile.instructions import Instruction, parse

_HINT = "build it with Bayplan's own builder: setting builder"
_BUILDKIT_FLAGS = {
    "RUN": ("mount", "network", "security", "device"),
    "COPY": ("link", "chmod", "parents", "exclude"),
    "ADD": ("link", "chmod", "exclude", "checksum", "keep-git-dir", "unpack"),
    "HEALTHCHECK": ("start-interval",),
}
_BUILDAH_LACKS = {
    "RUN": ("security", "device"),
    "COPY": ("parents",),
    "ADD": ("keep-git-dir", "unpack"),
    "HEALTHCHECK": ("start-interval",),
}
_HEREDOCS_OF_PODMAN = (4, 8)


def check(declared: Build, text: str, file: str, *, kind: str, version: str) -> tuple[Instruction, ...]:
    """The instructions. Raises UnsupportedError naming engine, version and option, with file and line."""
    engine = f"{kind} {version}"
    for option in _options(declared, kind):
        raise UnsupportedError(f"{engine} cannot honour build.{option} through its API", where=file, hint=_HINT)
    try:
        instructions = parse(text, file)
    except NotBuiltYetError as error:
        raise UnsupportedError(f"{engine}: {error.what}", where=error.where) from error
    except DeclarationError:
        if kind == "podman":  # its builder knows words of its own, and says itself what it does not
            return ()
        raise
    lacking = _BUILDAH_LACKS if kind == "podman" else _BUILDKIT_FLAGS
    for item in instructions:
        for flag, _ in item.flags:
            if flag in lacking.get(item.name, ()):
                raise UnsupportedError(f"{engine}'s builder has no {item.name} --{flag}", where=item.where, hint=_HINT)
        if item.heredocs and (kind == "docker" or _numbers(version) < _HEREDOCS_OF_PODMAN):
            raise UnsupportedError(f"{engine}'s builder has no here-documents", where=item.where, hint=_HINT)
    return instructions


def _options(declared: Build, kind: str) -> Iterator[str]:
    if len(declared.platforms) > 1:
        yield "platforms"
    if declared.ssh:
        yield "ssh"
    if declared.entitlements:
        yield "entitlements"
    if declared.secrets and kind == "docker":
        yield "secrets"


def _numbers(version: str) -> tuple[int, ...]:
    head = version.partition("-")[0].split(".")
    return tuple(int(part) for part in head[:2] if part.isdigit())
