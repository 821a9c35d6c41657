"""Entry of the command.

Exit codes: 0 done (or nothing to do); 1 something failed on the way; 2 the input was refused, nothing was changed;
3 try again later (host busy, registry unreachable); 4 the host moved since the plan was made; 130 interrupted.
``plan --detailed-exitcode`` gives 5 when there are changes, ``lock --check`` and ``parity`` when something differs.
``exec`` gives the command's own code.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from bayplan.bridge import starting
from bayplan.cli.printable import printable, printable_lines
from bayplan.errors import BayplanError, RuntimeFailureError

_LOOKING = frozenset(("attach", "events", "exec", "logs", "plan", "ps", "stats", "status", "top", "wait"))
"""Verbs that change nothing of the host's, which people end by Ctrl-C."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and give the process's exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # System calls are made through ctypes: a crash below Python must leave its trace too.
    faulthandler.enable()
    starting.quickly()
    if arguments[:1] == ["bridge"]:
        from bayplan.bridge.main import run as bridge

        return bridge(arguments[1:])
    from bayplan.cli.parser import parse

    options = parse(arguments)
    gc.freeze()  # what was loaded stays loaded
    logging.basicConfig(format="Warning: %(message)s", level=logging.WARNING)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return int(options.run(options))
    except BayplanError as error:
        _explain(error, as_json=getattr(options, "json", False))
        return error.exit_code
    except KeyboardInterrupt:
        return _interrupted(options.verb)
    except BrokenPipeError:
        # The reader went away (`| head`); point stdout at nothing so that the interpreter's flush is quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        _explain(RuntimeFailureError(str(error)), as_json=getattr(options, "json", False))
        return 1


def entry() -> None:
    """The command itself: ends the process."""
    starting.end(main())


def _interrupted(verb: str) -> int:
    """The exit code; of a change it is said what became of it."""
    if verb not in _LOOKING:
        print("Interrupted. What was begun of a change was finished; the same again goes on.", file=sys.stderr)
    return 130


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _explain(error: BayplanError, *, as_json: bool) -> None:
    if as_json:
        fields = {"error": error.what, "where": str(error.where or ""), "hint": error.hint, "output": error.output}
        print(json.dumps({**fields, "kind": type(error).__name__}))
        return
    # What was not found or refused may be a name that an image or a registry has chosen.
    print(printable_lines(f"Error: {error}"), file=sys.stderr)
    if error.output:
        print("".join(f"  | {printable(line)}\n" for line in error.output.splitlines()[-20:]), end="", file=sys.stderr)
