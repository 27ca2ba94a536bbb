# SPDX-License-Identifier: Apache-2.0
"""Cutting a PTX text into its outside and its bodies, so that a body is read only when needed."""

from __future__ import annotations

import re

from gpu_proxy.softgpu.errors import LimitError, PtxError
from gpu_proxy.softgpu.ptx.ast import Span
from gpu_proxy.softgpu.ptx.lexer import clean

MAX_NESTING = 64

_BRACE = re.compile(
    r'[{}]|//[^\n]*|"(?:[^"\\\n]|\\[^\n])*"|/\*.*?\*/',
    re.DOTALL,
)


def split(text: str) -> tuple[str, list[Span]]:
    """The text with every block emptied, on the same lines, and where the blocks lie.

    A block is what stands in braces at the top: the body of a function or the content of a
    section. Initial values of variables are none and stay in the text."""
    kept: list[str] = []
    blocks: list[Span] = []
    end, line = 0, 1
    for start, stop in _top_level(text):
        head = text[end:start]
        content = text[start:stop]
        line += head.count("\n")
        lines = content.count("\n")
        if clean(head).rstrip().endswith("="):
            kept += (head, content)
        else:
            kept += (head, "{", "\n" * lines, "}")
            blocks.append(Span(start, stop, line))
        end, line = stop, line + lines
    kept.append(text[end:])
    return "".join(kept), blocks


def _top_level(text: str) -> list[tuple[int, int]]:
    """Start and end of everything in braces that is not inside other braces."""
    found: list[tuple[int, int]] = []
    depth = start = 0
    for match in _BRACE.finditer(text):
        mark = match.group()
        if mark == "{":
            if depth == 0:
                start = match.start()
            depth += 1
            if depth > MAX_NESTING + 1:  # The innermost may be a vector of registers.
                raise LimitError(f"more than {MAX_NESTING} nested scopes")
        elif mark == "}" and depth:
            depth -= 1
            if depth == 0:
                found.append((start, match.end()))
    if depth:
        raise PtxError("expected '}', found 'the end'", text.count("\n") + 1)
    return found
