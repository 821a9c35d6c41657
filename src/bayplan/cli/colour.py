"""Whether what is printed has colours: as the reader says, else on a terminal that has them."""

from __future__ import annotations

import os
import sys
from argparse import SUPPRESS, ArgumentParser, BooleanOptionalAction, Namespace

from bayplan.reconcile.style import Style


def add_option(parser: ArgumentParser, *, default: str | None = SUPPRESS) -> None:
    """``--color`` and ``--no-color``: for the whole command (default None), and for a verb that shows a plan."""
    text = "colours also in a pipe, or none on a terminal; NO_COLOR in the environment is none too"
    parser.add_argument("--color", action=BooleanOptionalAction, default=default, help=text)


def style(options: Namespace) -> Style:
    """What the options say, else NO_COLOR (no-color.org: any value but an empty one), else what stdout is."""
    given: bool | None = getattr(options, "color", None)
    if given is not None:
        return Style(colours=given)
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Style(colours=wanted and sys.stdout.isatty())
