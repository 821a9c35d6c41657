"""Programs that keep credentials: docker-credential-NAME, by the protocol of docker-credential-helpers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

from bayplan.errors import AccessDeniedError, DeclarationError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TIMEOUT_S = 30.0
_UNKNOWN = "credentials not found"
TOKEN_USER = "<token>"  # noqa: S105 - the protocol's mark of an identity token, no secret


def get(name: str, server: str) -> tuple[str, str] | None:
    """User and secret for a server; the user is ``TOKEN_USER`` for an identity token. None when it has none."""
    said = _run(name, "get", server)
    if said is None:
        return None
    try:
        answer = json.loads(said)
        return str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        raise DeclarationError(f"docker-credential-{name} did not answer in its protocol", where=server) from None


def store(name: str, server: str, user: str, secret: str) -> None:
    """Keep a user and a secret."""
    _run(name, "store", json.dumps({"ServerURL": server, "Username": user, "Secret": secret}))


def erase(name: str, server: str) -> None:
    """Forget them."""
    _run(name, "erase", server)


def _run(name: str, verb: str, text: str) -> str | None:
    """What the helper says; secrets go through its standard streams alone, and into no message."""
    if not _NAME.fullmatch(name):
        raise DeclarationError(f"{name!r} is no name of a credential helper", where="credsStore or credHelpers")
    program = f"docker-credential-{name}"
    if shutil.which(program) is None:
        raise DeclarationError(f"{program} is not installed", hint="install it, or take it out of the configuration")
    try:
        done = subprocess.run(
            [program, verb], input=text, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise AccessDeniedError(f"{program} {verb} did not answer within {_TIMEOUT_S:.0f} s") from None
    if done.returncode and _UNKNOWN in done.stdout:
        return None
    if done.returncode:
        raise AccessDeniedError(f"{program} {verb} failed with {done.returncode}", hint="try it by hand")
    return done.stdout
