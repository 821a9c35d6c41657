"""Verbs about the host itself."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import asdict

from bayplan import app, engines
from bayplan.cli.common import opened

_UNIT = """\
[Unit]
Description=Containers of Bayplan that run again after a reboot
Documentation=man:systemd.service(5)
Wants=network-online.target
After=network-online.target local-fs.target nftables.service firewalld.service ufw.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={python} -m bayplan resume
# Containers do not end with the unit; `bayplan destroy` or a stop of the host ends them.
KillMode=process

[Install]
WantedBy=multi-user.target
"""


def resume(options: Namespace) -> int:
    """Start what a reboot ended. 1 when something does not start."""
    if options.print_unit:
        print(_UNIT.format(python=sys.executable), end="")
        return 0
    if options.print_supervisor_unit:
        from bayplan.runtime.native.supervisor import unit

        settings = engines.load_settings()
        print(f"# {unit.name(settings)}\n{unit.text(settings)}", end="")
        return 0
    with opened(options) as (runtime, _):
        found = app.resume(runtime)
    if options.json:
        print(json.dumps([{"name": item.name, "error": item.error} for item in found]))
    else:
        for item in found:
            print(f"{item.name}: {item.error or 'started'}")
        if not found:
            print("Nothing to start.")
    return 1 if any(item.error for item in found) else 0


def check(options: Namespace) -> int:
    """Look for damage; 1 when there is some."""
    with opened(options) as (runtime, _):
        found = app.damaged(runtime)
    if options.json:
        print(json.dumps([asdict(item) for item in found]))
    else:
        print("\n".join(f"{item.resource}: {item.what} ({item.hint})" for item in found) or "Nothing is damaged.")
    return 1 if found else 0
