# SPDX-License-Identifier: Apache-2.0
"""PTX modules: versions, variables and functions."""

from __future__ import annotations

import re

from gpu_proxy.softgpu.errors import PtxError, UnsupportedError, VersionError
from gpu_proxy.softgpu.ptx.ast import Function, Module, Span
from gpu_proxy.softgpu.ptx.body import BodyParser
from gpu_proxy.softgpu.ptx.declarations import (
    LINKAGE,
    parse_linkage,
    parse_param_list,
    parse_variables,
)
from gpu_proxy.softgpu.ptx.lexer import Tokens
from gpu_proxy.softgpu.ptx.numbers import parse_number, take_number
from gpu_proxy.softgpu.ptx.split import split

NEWEST_VERSION = 93
_NO_ARGUMENTS = (".noreturn", ".explicitcluster", ".blocksareclusters")
_CLUSTERS = (".explicitcluster", ".blocksareclusters", ".reqnctapercluster")
_IGNORED = (
    ".minnctapersm",
    ".maxnreg",
    ".maxnctapersm",
    ".maxclusterrank",
    ".local_maxnreg",
    ".abi_preserve",
    ".abi_preserve_control",
)


def parse_outside(text: str) -> Module:
    """Everything of a PTX text but what the functions' bodies say."""
    outside, blocks = split(text)
    parser = _Outside(Tokens(outside), blocks)
    while parser.tokens.kind != "end":
        parser.parse_top()
    if not parser.module.version:
        raise PtxError("no .version directive: this is no PTX")
    return parser.module


def parse_body(text: str, function: Function) -> None:
    """Read the body of a function of this text, unless that has been done."""
    span = function.span
    if function.body is None and span is not None:
        BodyParser(Tokens(text[span.start : span.end], span.line), function).parse()


def parse(text: str) -> Module:
    """The syntax tree of a whole PTX text."""
    module = parse_outside(text)
    for function in module.functions.values():
        parse_body(text, function)
    return module


class _Outside:
    """Reads a text in which every block is empty; `blocks` says where they were."""

    def __init__(self, tokens: Tokens, blocks: list[Span]) -> None:
        self.tokens = tokens
        self.module = Module()
        self._blocks = iter(blocks)

    def parse_top(self) -> None:
        """One declaration or directive."""
        tokens, module = self.tokens, self.module
        if tokens.accept(";"):
            return
        external = parse_linkage(tokens)
        line, directive = tokens.line, tokens.next()
        if directive == ".version":
            _parse_version(tokens, module)
        elif directive == ".target":
            _parse_target(tokens, module)
        elif directive == ".address_size":
            if take_number(tokens).bits != 64:
                raise UnsupportedError(
                    "only 64-bit addresses are supported by the software GPU", line
                )
        elif directive in (".global", ".const", ".shared", ".tex"):
            for variable in parse_variables(tokens, directive[1:], external):
                known = module.variables.get(variable.name)
                if known is None or known.external:
                    module.variables[variable.name] = variable
        elif directive in (".func", ".entry"):
            self._parse_function(directive == ".entry", external)
        elif directive == ".section":
            tokens.next()
            self._block()
        elif directive == ".alias":
            name = tokens.word()
            tokens.expect(",")
            module.aliases[name] = tokens.word()
            tokens.expect(";")
        elif directive == ".pragma":
            while tokens.next() != ";":
                pass
        else:
            raise PtxError(f"unexpected {directive!r}", line)

    def _block(self) -> Span:
        """Take the next block."""
        line = self.tokens.line
        self.tokens.expect("{")
        self.tokens.expect("}")
        span = next(self._blocks, None)
        if span is None:
            raise PtxError("unexpected '{'", line)
        return span

    def _parse_function(self, is_entry: bool, external: bool) -> None:
        tokens, functions = self.tokens, self.module.functions
        line = tokens.line
        returns = parse_param_list(tokens)
        name = tokens.word()
        function = Function(name, is_entry, parse_param_list(tokens), returns, line, external)
        _parse_function_directives(tokens, function)
        if tokens.value != "{":
            tokens.expect(";")
            functions.setdefault(name, function)
            return
        function.span = self._block()
        known = functions.get(name)
        if known is not None and known.span is not None:
            raise PtxError(f"function {name} is defined twice", line)
        functions[name] = function


def _parse_version(tokens: Tokens, module: Module) -> None:
    match = re.fullmatch(r"(\d+)\.(\d)", tokens.next())
    if match is None:
        raise PtxError("malformed .version", tokens.line)
    module.version = int(match[1]) * 10 + int(match[2])
    if module.version > NEWEST_VERSION:
        newest = f"{NEWEST_VERSION // 10}.{NEWEST_VERSION % 10}"
        raise VersionError(
            f"PTX version {match[0]} is newer than {newest}, the newest that the software GPU reads"
        )


def _parse_target(tokens: Tokens, module: Module) -> None:
    while True:
        match = re.fullmatch(r"(?:sm|compute)_(\d+)[af]?", tokens.word())
        if match:
            module.target = int(match[1])
        if not tokens.accept(","):
            return


def _parse_function_directives(tokens: Tokens, function: Function) -> None:
    while tokens.kind == "directive" and tokens.value not in LINKAGE:
        line, directive = tokens.line, tokens.next()
        numbers = [] if directive in _NO_ARGUMENTS else _parse_arguments(tokens)
        if directive in (".maxntid", ".reqntid"):
            block = [*numbers, 1, 1, 1][:3]
            function.max_threads = block[0] * block[1] * block[2]
            if directive == ".reqntid":
                function.required_block = (block[0], block[1], block[2])
        elif directive in _CLUSTERS:
            if not numbers or max(numbers) > 1:
                function.unsupported = (
                    f"line {line}: '{directive}' (thread block clusters) in kernel "
                    f"'{function.name}' is not supported by the software GPU"
                )
        elif directive not in (*_IGNORED, *_NO_ARGUMENTS, ".pragma"):
            raise PtxError(f"unexpected {directive}", line)


def _parse_arguments(tokens: Tokens) -> list[int]:
    numbers: list[int] = []
    while tokens.kind in ("number", "string"):
        is_number = tokens.kind == "number"
        text = tokens.next()
        if is_number:
            numbers.append(parse_number(text).bits)
        tokens.accept(",")
    tokens.accept(";") if tokens.value == ";" and not numbers else None
    return numbers
