"""attach: the caller's terminal joined to a container."""

from __future__ import annotations

import json
import sys
from argparse import Namespace

from bayplan.cli.common import container_names, lock_timeout, opened
from bayplan.errors import DeclarationError


def detach_keys(options: Namespace) -> bytes:
    """``--detach-keys`` as bytes. Raises DeclarationError."""
    from bayplan.system.terminal import parse_keys

    try:
        return parse_keys(options.detach_keys)
    except ValueError as error:
        raise DeclarationError(f"--detach-keys: {error}") from error


def attach(options: Namespace) -> int:
    """Join the streams; gives the container's exit code, 0 when detached."""
    keys = detach_keys(options)
    with opened(options) as (runtime, _):
        options.service = [options.service]
        name = container_names(options, runtime)[0]
        code = runtime.attach(name, stdin=not options.no_stdin, detach_keys=keys, sig_proxy=options.sig_proxy)
    if options.json:
        print(json.dumps({"container": name, "exit_code": code, "detached": code is None}), file=sys.stderr)
    return code or 0


def copy(options: Namespace) -> int:
    """Copy in or out, under the host's lock: a stopped container must not be started meanwhile."""
    source, target = _split(options.source), _split(options.target)
    if (source[0] is None) == (target[0] is None):
        raise DeclarationError("cp copies between a container and this host", hint="write one side as SERVICE:PATH")
    if not (source[1] and target[1]):
        where = f"cp {options.source} {options.target}"
        raise DeclarationError(
            "one side names no path", where=where, hint="write SERVICE:/ for the root of a container"
        )
    timeout, follow = lock_timeout(options), options.follow_link
    with opened(options) as (runtime, _):
        options.service = [source[0] or target[0]]
        name = container_names(options, runtime)[0]
        with runtime.lock(f"cp of {name}", timeout):
            if source[0] is not None:
                into = None if target[1] == "-" else target[1]
                runtime.copy_out(name, source[1], into, sys.stdout.buffer, follow=follow)
            else:
                given = None if source[1] == "-" else source[1]
                runtime.copy_in(name, given, target[1], sys.stdin.buffer, follow=follow)
    sys.stdout.flush()
    return 0


def _split(text: str) -> tuple[str | None, str]:
    """Container and path; a path of the host may hold a colon after a slash."""
    head, colon, path = text.partition(":")
    if not colon or "/" in head or not head or head.startswith("."):
        return None, text
    return head, path if path.startswith("/") or not path else f"/{path}"
