"""How a plan looks on a terminal: colours for what they mean, and nothing in it that would steer the terminal."""

from __future__ import annotations

from enum import StrEnum

from bayplan.values import frozen


class Tone(StrEnum):
    """What a piece of text means; its value is the parameter of SGR (ECMA-48, 8.3.117) that shows it."""

    HEADING = "1"
    MADE = "32"
    CHANGED = "33"
    REPLACED = "35"
    REMOVED = "31"
    TURNED = "36"
    RISK = "1;33"
    ASIDE = "2"


@frozen
class Style:
    """With or without colours."""

    colours: bool = False

    def paint(self, tone: Tone, text: str) -> str:
        """The text, safe to print, in the colour of its meaning."""
        shown = escaped(text)
        return f"\x1b[{tone.value}m{shown}\x1b[0m" if self.colours and shown else shown


PLAIN = Style()


def escaped(text: str) -> str:
    """Control characters as escapes: what an image or a container says of itself must not steer the terminal."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
