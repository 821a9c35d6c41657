"""Text of containers made safe for the reader's terminal."""


def printable(text: str) -> str:
    """Without control characters: what a container prints must not steer the reader's terminal."""
    return "".join(sign if sign == "\t" or sign.isprintable() else "\ufffd" for sign in text)


def printable_lines(text: str) -> str:
    """The same of several lines: their ends stay."""
    return "\n".join(map(printable, text.split("\n")))
