"""attach: the caller's terminal joined to a container."""

from __future__ import annotations

import json
import sys
from argparse import Namespace

from bayplan.cli.common import container_names, lock_timeout, opened
from bayplan.errors import DeclarationError


def attach(options: Namespace) -> int:
    """Join the streams; gives the container's exit code, 0 when detached."""
    from bayplan.system.terminal import parse_keys

    try:
        keys = parse_keys(options.detach_keys)
    except ValueError as error:
        raise DeclarationError(f"--detach-keys: {error}") from error
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
    timeout = lock_timeout(options)
    with opened(options) as (runtime, _):
        options.service = [source[0] or target[0]]
        name = container_names(options, runtime)[0]
        with runtime.lock(f"cp of {name}", timeout):
            if source[0] is not None:
                runtime.copy_out(name, source[1], None if target[1] == "-" else target[1], sys.stdout.buffer)
            else:
                runtime.copy_in(name, None if source[1] == "-" else source[1], target[1], sys.stdin.buffer)
    sys.stdout.flush()
    return 0


def _split(text: str) -> tuple[str | None, str]:
    """Container and path; a path of the host may hold a colon after a slash."""
    head, colon, path = text.partition(":")
    if not colon or "/" in head or not head or head.startswith("."):
        return None, text
    return head, path if path.startswith("/") else f"/{path}"
