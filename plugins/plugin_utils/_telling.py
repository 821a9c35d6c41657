# Copyright: the Bayplan contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hear how far a request is while it is carried out: by further requests, each through a command of its own."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

every_s = 0
"""Seconds after which, and then every so many, it is asked; 0 is never. The callback C(plans) sets it."""


@contextmanager
def heard(request: str, hear: Callable[[str], str], say: Callable[[str], None]) -> Iterator[str]:
    """The request as it is to be sent; until the end of this, what is new of it is said.

    ``hear`` sends a question to the same target and gives the answer's text.
    """
    token = secrets.token_hex(16)
    settings = json.loads(request).get("settings")
    question = json.dumps({"verb": "told", "settings": settings, "options": {"token": token}})
    ended = Event()
    teller = Thread(target=_tell, args=(question, ended, hear, say), daemon=True)
    teller.start()
    try:
        # Not parsed and written anew: it may have megabytes.
        yield f'{{"telling": "{token}", {request.lstrip()[1:]}'
    finally:
        ended.set()
        teller.join()


def _tell(question: str, ended: Event, hear: Callable[[str], str], say: Callable[[str], None]) -> None:
    known: set[str] = set()
    while not ended.wait(every_s):
        try:
            lines = json.loads(hear(question)).get("lines") or ()
        except Exception:  # noqa: BLE001 - whatever it is, the task itself goes on and tells of it
            lines = ()
        for line in lines:
            if line not in known and not ended.is_set():
                say(line)
        known = set(lines)
