"""``bayplan login`` and ``logout``. A password comes from standard input or the terminal, never from the arguments."""

from __future__ import annotations

import json
import sys
from argparse import Namespace

from bayplan import app, engines
from bayplan.errors import DeclarationError


def login(options: Namespace) -> int:
    """Say where the credentials are kept."""
    if options.password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        import getpass

        password = getpass.getpass()
    else:
        raise DeclarationError("there is no terminal to ask for the password", hint="give it by --password-stdin")
    place = app.login(engines.load_settings(), options.registry, options.username, password)
    print(json.dumps({"registry": options.registry, "kept": place}) if options.json else f"kept in {place}")
    return 0


def logout(options: Namespace) -> int:
    """Say whether there was something."""
    gone = app.logout(options.registry)
    said = "forgotten" if gone else "there were no credentials"
    print(json.dumps({"registry": options.registry, "changed": gone}) if options.json else said)
    return 0
