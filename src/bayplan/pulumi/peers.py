"""Who asks. Pulumi knows no credentials for plugins, and a port of loopback is open to every user of the machine.

The engine behind this plugin makes containers as root, so only root, the plugin's own user and who called sudo may ask.
"""

from __future__ import annotations

import os
import re

from bayplan.errors import AccessDeniedError
from bayplan.system import connections

_PEER = re.compile(r"ipv4:127\.0\.0\.1:(\d+)")


def check(peer: str, port: int) -> None:
    """Raise AccessDeniedError for a peer (as gRPC writes it) of our ``port`` that is another user's.

    Hosts without /proc cannot tell.
    """
    found = _PEER.fullmatch(peer)
    if found is None or not connections.TABLES[0].exists():
        return
    owner = connections.owner(int(found[1]), port)
    if owner not in _allowed():
        who = "somebody who has gone" if owner is None else f"user {owner}"
        raise AccessDeniedError(f"{who} may not ask this plugin", hint="run Pulumi and the plugin as one user")


def _allowed() -> set[int]:
    called_sudo = os.environ.get("SUDO_UID", "")
    return {0, os.geteuid(), *([int(called_sudo)] if called_sudo.isdecimal() else [])}
