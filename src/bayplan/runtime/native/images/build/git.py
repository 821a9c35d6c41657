"""The host's git, kept from anything but what it is asked for.

It asks nobody, runs no hook and no filter, reads no configuration but ours, and speaks git, http, https and ssh only.
"""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from bayplan.errors import AccessDeniedError, BayplanError, NotFoundError, RuntimeFailureError, UnavailableError
from bayplan.models.git_url import GitUrl

_PROXIES = tuple(f"{word}_proxy" for word in ("http", "https", "no", "all"))
_PASSED = (
    *("PATH", "HOME", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO"),
    *_PROXIES,
    *(name.upper() for name in _PROXIES),
)
_OPTIONS = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.autocrlf": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "advice.detachedHead": "false",
    "init.defaultBranch": "none",
    "init.templateDir": "",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "60",
    "fetch.recurseSubmodules": "false",
}


def run(
    url: GitUrl,
    arguments: Sequence[str],
    tokens: Mapping[str, str],
    *,
    at: Path | None = None,
    protocols: str = "",
    timeout_s: int,
) -> str:
    """What git says, run in the directory ``at``. ``protocols`` are those it may speak, with colons between.

    ``tokens`` are the secrets GIT_AUTH_TOKEN and GIT_AUTH_HEADER, also as NAME.HOST: they reach that server alone.
    Raises NotFoundError, AccessDeniedError, UnavailableError, RuntimeFailureError.
    """
    # Whoever asks for https is not led to what anybody on the way can change.
    allowed = protocols or ("https" if url.remote.startswith("https:") else "git:http:https:ssh")
    environment = _environment(allowed, _headers(url, tokens))
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=at or "/",
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            umask=0o022,
            check=False,
        )
    except FileNotFoundError:
        raise NotFoundError("git is not installed", where=str(url), hint="install package git") from None
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{url.remote} gave no answer in {timeout_s} s", hint="try again") from None
    if done.returncode:
        raise _failure(url, done.stderr.decode(errors="replace"))
    return done.stdout.decode(errors="replace")


def _headers(url: GitUrl, tokens: Mapping[str, str]) -> dict[str, str]:
    """Settings that give the server the build's token, and no other server."""
    scheme, _, rest = url.remote.partition("://")
    if scheme not in ("http", "https"):
        return {}
    header = tokens.get(f"GIT_AUTH_HEADER.{url.host}") or tokens.get("GIT_AUTH_HEADER")
    token = tokens.get(f"GIT_AUTH_TOKEN.{url.host}") or tokens.get("GIT_AUTH_TOKEN")
    if token and not header:
        header = "basic " + base64.b64encode(f"x-access-token:{token.strip()}".encode()).decode()
    key = f"http.{scheme}://{rest.partition('/')[0]}/.extraHeader"
    return {key: f"Authorization: {header.strip()}"} if header else {}


def _environment(protocols: str, settings: Mapping[str, str]) -> dict[str, str]:
    found = {name: os.environ[name] for name in _PASSED if name in os.environ}
    found |= {
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "/bin/false",
        "SSH_ASKPASS": "/bin/false",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oConnectTimeout=30",
        "GIT_ALLOW_PROTOCOL": protocols,
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_LFS_SKIP_SMUDGE": "1",
    }
    for number, (key, value) in enumerate({**_OPTIONS, **settings}.items()):
        # In the environment, not in arguments: those anybody on the host can read.
        found |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return found | {"GIT_CONFIG_COUNT": str(len(_OPTIONS) + len(settings))}


def _failure(url: GitUrl, said: str) -> BayplanError:
    """The error for what git says on its standard error."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    told = lines[-1] if lines else "no reason"
    for start in ("fatal:", "error:", "ssh:"):
        told = next((line.removeprefix(start).strip() for line in lines if line.startswith(start)), told)
    what = f"git cannot read {url.remote}: {told}"
    text = said.lower()
    for kind, marks in _KINDS:
        if any(mark in text for mark in marks):
            return kind(what, hint=_HINTS[kind], output=said[-4000:])
    return RuntimeFailureError(what, output=said[-4000:])


_KINDS: Sequence[tuple[type[BayplanError], Sequence[str]]] = (
    (
        AccessDeniedError,
        (
            "authentication failed",
            "could not read username",
            "could not read password",
            "terminal prompts disabled",
            "permission denied",
            "host key verification failed",
            "error: 403",
        ),
    ),
    (NotFoundError, ("not found", "does not exist", "not exported", "repository not exported")),
    (
        UnavailableError,
        (
            "could not resolve",
            "connection refused",
            "timed out",
            "unable to connect",
            "failed to connect",
            "network is unreachable",
            "no route to host",
            "connection reset",
            "early eof",
            "operation too slow",
            "error: 5",
        ),
    ),
)
_HINTS: Mapping[type[BayplanError], str] = {
    AccessDeniedError: "over https give the build a secret GIT_AUTH_TOKEN; over ssh a key and a known host",
    NotFoundError: "check the address; of a private repository it may be hidden",
    UnavailableError: "try again; a commit that was fetched before is named by its whole hash",
}
