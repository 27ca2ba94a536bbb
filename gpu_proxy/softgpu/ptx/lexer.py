# SPDX-License-Identifier: Apache-2.0
"""PTX text to tokens."""

from __future__ import annotations

import re
from bisect import bisect_right

from gpu_proxy.softgpu.errors import LimitError, PtxError

MAX_TOKENS = 40_000_000

# Line information says nothing about the meaning, and its directives end at the line's end, not
# at a semicolon.
_LINE_INFO = re.compile(r"^[ \t]*\.(?:loc|file)\b[^\n]*$", re.MULTILINE)
_STRING_OR_COMMENT = re.compile(r'"(?:[^"\\\n]|\\[^\n])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<word>[%$_A-Za-z][\w$%]*(?:(?:\.|::)[\w$]+)*)"
    r"|(?P<directive>\.[A-Za-z_][\w:]*)"
    r"|(?P<number>0[fF][0-9a-fA-F]{8}|0[dD][0-9a-fA-F]{16}|0[xX][0-9a-fA-F]+U?|0[bB][01]+U?"
    r"|\d+\.\d*(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\d+U?)"
    r'|(?P<string>"(?:[^"\\]|\\.)*")'
    r"|(?P<mark><<|>>|[\[\](){}<>,;:=+\-*/!|&^~?@])"
    r"|(?P<bad>.)",
    re.ASCII,
)


def _blank_comment(match: re.Match[str]) -> str:
    """Keep the line count: a comment becomes a space and its newlines."""
    text = match.group()
    return text if text[0] == '"' else " " + "\n" * text.count("\n")


def clean(text: str) -> str:
    """The text without comments and line information, on the same lines."""
    if "/" in text:
        text = _STRING_OR_COMMENT.sub(_blank_comment, text)
    if ".loc" in text or ".file" in text:
        text = _LINE_INFO.sub("", text)
    return text


class Tokens:
    """The tokens of a text with a cursor. Past the end there is an endless row of empty tokens."""

    def __init__(self, text: str, first_line: int = 1) -> None:
        text = clean(text)
        self._first_line = first_line
        self.kinds: list[str] = []
        self.values: list[str] = []
        self._starts: list[int] = []
        self._newlines = [m.start() for m in re.finditer("\n", text)]
        for match in _TOKEN.finditer(text):
            kind = match.lastgroup or "bad"
            if kind == "space":
                continue
            self._starts.append(match.start())
            if kind == "bad":
                raise PtxError(f"unexpected character {match.group()!r}", self._line_of(-1))
            self.kinds.append(kind)
            self.values.append(match.group())
        if len(self.values) > MAX_TOKENS:
            raise LimitError(f"PTX of more than {MAX_TOKENS} tokens")
        self.kinds += ["end"] * 4
        self.values += [""] * 4
        self._starts += [len(text)] * 4
        self.at = 0

    def _line_of(self, index: int) -> int:
        return bisect_right(self._newlines, self._starts[index] - 1) + self._first_line

    @property
    def line(self) -> int:
        """Line of the next token."""
        return self._line_of(min(self.at, len(self._starts) - 1))

    @property
    def value(self) -> str:
        """The next token's text."""
        return self.values[self.at]

    @property
    def kind(self) -> str:
        """The next token's kind."""
        return self.kinds[self.at]

    def next(self) -> str:
        """Take one token."""
        value = self.values[self.at]
        if self.kinds[self.at] == "end":
            raise PtxError("unexpected end of the text", self.line)
        self.at += 1
        return value

    def accept(self, value: str) -> bool:
        """Take the next token if it is `value`."""
        if self.values[self.at] != value:
            return False
        self.at += 1
        return True

    def expect(self, value: str) -> None:
        """Take the next token, which must be `value`."""
        if not self.accept(value):
            raise PtxError(f"expected {value!r}, found {self.value or 'the end'!r}", self.line)

    def word(self) -> str:
        """Take a name."""
        if self.kind != "word":
            raise PtxError(f"expected a name, found {self.value or 'the end'!r}", self.line)
        return self.next()
