"""Variables and quotes in instructions (Dockerfile reference, "Environment replacement")."""

from __future__ import annotations

from collections.abc import Callable, Mapping

_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


def expand(word: str, variables: Mapping[str, str], escape: str = "\\", *, keep_quotes: bool = False) -> str:
    """A word with its variables replaced and its quotes taken off. Raises ValueError saying what is malformed."""
    return _Lexer(word, variables, escape, keep_quotes=keep_quotes).word()


def split(text: str, escape: str = "\\") -> list[str]:
    """Words parted by blanks outside of quotes; quotes and escapes stay. Raises ValueError for an open quote."""
    words: list[str] = []
    word, quote, position = "", "", 0
    while position < len(text):
        sign = text[position]
        if sign == escape and quote != "'" and position + 1 < len(text):
            word += text[position : position + 2]
            position += 2
            continue
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign.isspace():
            if word:
                words.append(word)
            word = ""
            position += 1
            continue
        word += sign
        position += 1
    if quote:
        raise ValueError(f"the quote {quote} is not closed")
    return [*words, word] if word else words


def pairs(text: str, variables: Mapping[str, str], escape: str = "\\") -> list[tuple[str, str]]:
    """``key=value ...``, or one ``key value`` whose value is the rest of the line (ENV and LABEL)."""
    words = split(text, escape)
    if "=" not in words[0]:
        key, rest = words[0], text.lstrip().removeprefix(words[0])
        if not rest.strip():
            raise ValueError(f"{key!r} has no value; write {key}=...")
        return [(expand(key, variables, escape), expand(rest.strip(), variables, escape))]
    found = []
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not key:
            raise ValueError(f"{word!r} is not of the form key=value")
        found.append((expand(key, variables, escape), expand(value, variables, escape)))
    return found


class _Lexer:
    def __init__(self, text: str, variables: Mapping[str, str], escape: str, *, keep_quotes: bool) -> None:
        self.text, self.variables, self.escape, self.at = text, variables, escape, 0
        self.keep_quotes = keep_quotes

    def word(self, stop: str = "") -> str:
        """Up to the sign ``stop`` outside of quotes, or the end."""
        out = ""
        while self.at < len(self.text):
            sign = self.text[self.at]
            if stop and sign == stop:
                return out
            if sign == "'" and not self.keep_quotes:
                out += self._single()
            elif sign == '"' and not self.keep_quotes:
                out += self._double()
            elif sign == self.escape:
                self.at += 1
                out += self.text[self.at : self.at + 1]
                self.at += 1
            elif sign == "$":
                out += self._variable()
            else:
                out += sign
                self.at += 1
        if stop:
            raise ValueError(f"a {stop} is missing in {self.text!r}")
        return out

    def _single(self) -> str:
        end = self.text.find("'", self.at + 1)
        if end < 0:
            raise ValueError(f"the quote ' is not closed in {self.text!r}")
        inside = self.text[self.at + 1 : end]
        self.at = end + 1
        return inside

    def _double(self) -> str:
        out = ""
        self.at += 1
        while self.at < len(self.text):
            sign = self.text[self.at]
            if sign == '"':
                self.at += 1
                return out
            if sign == "$":
                out += self._variable()
                continue
            if sign == self.escape and self.text[self.at + 1 : self.at + 2] in ('"', "$", self.escape):
                self.at += 1
                sign = self.text[self.at]
            out += sign
            self.at += 1
        raise ValueError(f'the quote " is not closed in {self.text!r}')

    def _variable(self) -> str:
        self.at += 1
        if self.text[self.at : self.at + 1] != "{":
            name = self._name()
            return self.variables.get(name, "") if name else "$"
        self.at += 1
        name = self._name()
        if not name:
            raise ValueError(f"${{}} names no variable in {self.text!r}")
        rest = self.text[self.at : self.at + 2]
        if rest.startswith("}"):
            self.at += 1
            return self.variables.get(name, "")
        colon = rest.startswith(":")
        sign = rest[1:2] if colon else rest[:1]
        if not sign or sign not in "-+?":
            raise ValueError(f"${{{name}{rest[:2]}...}} is not built; known are :- :+ :? - + ?")
        self.at += 2 if colon else 1
        word = self.word("}")
        self.at += 1
        value = self.variables.get(name)
        return _CHOICE[sign](name, value, word, bool(value) if colon else value is not None)

    def _name(self) -> str:
        start = self.at
        while self.at < len(self.text) and self.text[self.at] in _NAME:
            self.at += 1
        return self.text[start : self.at]


def _demanded(name: str, value: str | None, word: str, here: bool) -> str:
    if not here:
        raise ValueError(f"{name}: {word or 'is not set'}")
    return value or ""


_CHOICE: dict[str, Callable[[str, str | None, str, bool], str]] = {
    "-": lambda _, value, word, here: (value or "") if here else word,
    "+": lambda _, _value, word, here: word if here else "",
    "?": _demanded,
}
