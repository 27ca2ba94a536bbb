# SPDX-License-Identifier: Apache-2.0
"""Looking through a body at the speed of regular expressions.

Most bodies that compilers write are plain: instructions with registers, literals and addresses.
`examine` accepts those and collects the facts about them; it says None for all others, correct or
not, and they are read by the parser (body.py), which knows the whole grammar. What it accepts the
parser accepts, but for names that are used outside their scope: those are found when the body is
read at last.
"""

from __future__ import annotations

import re
import string

from gpu_proxy.softgpu.errors import SoftGpuError
from gpu_proxy.softgpu.ptx.ast import Facts, Function, Module, Variable
from gpu_proxy.softgpu.ptx.declarations import parse_variables
from gpu_proxy.softgpu.ptx.facts import RESERVED
from gpu_proxy.softgpu.ptx.isa import OPCODES, SPECIAL_REGISTERS
from gpu_proxy.softgpu.ptx.lexer import Tokens, clean

MAX_NAMES = 100_000  # registers in one directive
MAX_BLANKS = 200  # before the first declaration of a scope

_WORD = r"[%$_A-Za-z][\w$%]*+(?:(?:\.|::)[\w$]++)*"
_NUMBER = (
    r"(?:0[fF][0-9a-fA-F]{8}|0[dD][0-9a-fA-F]{16}|0[xX][0-9a-fA-F]++U?|0[bB][01]++U?|\d++U?)"
    r"(?![\w.$%])"
)
_ITEM = rf"(?:-?{_NUMBER}|!?{_WORD})"
_ITEMS = rf"{_ITEM}(?:\s*+,\s*+{_ITEM})*"
_MEMORY = rf"\[\s*+(?:{_WORD}(?:\s*+[+-]\s*+-?{_NUMBER})?|{_NUMBER})\s*+\]"
_OPERAND = rf"(?:-?{_NUMBER}|!?{_WORD}(?:\|{_WORD})?|{_MEMORY}|\{{\s*+{_ITEMS}\s*+\}})"
_GUARD = rf"(?:@!?{_WORD}\s++)?"
_INSTRUCTION = (
    rf"{_GUARD}(?!call[\s.(])[a-z]\w*+(?:(?:\.|::)[\w$]++)*"
    rf"(?:\s++{_OPERAND}(?:\s*+,\s*+{_OPERAND})*)?\s*+;"
)
_RESULTS = rf"(?:\(\s*+{_WORD}(?:\s*+,\s*+{_WORD})*\s*+\)\s*+,\s*+)?"
_CALL = (
    rf"{_GUARD}call(?:\.uni)?(?![\w.$%:])\s*+{_RESULTS}(?P<target>{_WORD})"
    rf"(?:\s*+,\s*+\(\s*+(?:{_ITEMS})?\s*+\))?(?:\s*+,\s*+{_WORD})?\s*+;"
)
_LABEL = rf"{_WORD}:(?!:|\s*+\.(?:branchtargets|callprototype|calltargets))"
_TYPE = r"\.(?:pred|[busf](?:8|16|32|64)|b128|f16x2|bf16x2|bf16|s16x2|u16x2)"
_NAME = r"[%$_A-Za-z][\w$]*+"
_NAMES = rf"{_NAME}(?:<\d++>)?(?:\s*+,\s*+{_NAME}(?:<\d++>)?)*"
_REGISTERS = rf"\.reg\s++{_TYPE}\s++{_NAMES}\s*+;"
_VARIABLES = r"\.(?:local|shared|param)\b[^;{}\"=]*+;"
_PRAGMA = r"\.pragma\s++\"[^\"\n]*+\"\s*+;"
_DECLARATIONS = rf"\s++|{_REGISTERS}|{_VARIABLES}|{_PRAGMA}"

# Some of it at a time: what could be undone takes memory. (Groups are never possessive: in Pythons
# before 3.11.5 one that fails half-way takes what it has seen.)
_STATEMENTS = re.compile(
    rf"(?:{_INSTRUCTION}|{_LABEL}|[{{}};]|{_DECLARATIONS}|{_CALL.replace('?P<target>', '?:')})"
    r"{1,4096}",
    re.ASCII,
)
_CALLS = re.compile(_CALL, re.ASCII)
# Not the spaces of `ld.param` and the like. A scope that declares does so first.
_DECLARED = re.compile(
    rf"\.(?<![\w$%]\.)(?:reg\s++{_TYPE}\s++(?P<registers>{_NAMES})\s*+;|{_VARIABLES[2:]})\s*+",
    re.ASCII,
)
_STRING = re.compile(r'"[^"\n]*"')
_RANGE = re.compile(r"([^\s,<]+)(?:<(\d+)>)?")
_SEPARATORS = str.maketrans(dict.fromkeys(",;[]+-{}()@!|", " "))
_PLAIN_WORDS = ("_", "WARP_SZ", '""')


class Examiner:
    """Examines the bodies of one module; what has been seen before is not looked at again."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._names = {*module.variables, *module.functions, *module.aliases}
        self._fine = {*_PLAIN_WORDS, *(f"%{name}" for name in SPECIAL_REGISTERS)}
        self._numbered: dict[str, list[str]] = {}
        self._variables: dict[str, list[Variable]] = {}

    def examine(self, function: Function, text: str) -> Facts | None:
        """The facts about a function with this body, or None if the parser must read it."""
        body = clean(text)
        if not _is_plain(body):
            return None
        try:
            return self._facts(function, _STRING.sub('""', body) if '"' in body else body)
        except (_Unusual, SoftGpuError):
            return None

    def _facts(self, function: Function, body: str) -> Facts:
        words = set(body.translate(_SEPARATORS).split())
        facts = Facts(reserved_shared=any(word.startswith(f"%{RESERVED}") for word in words))
        named = words & self._names
        if "call" in body:
            facts.calls = sorted({match["target"] for match in _CALLS.finditer(body)})
            if not self._module.functions.keys() >= {*map(self._module.resolve, facts.calls)}:
                raise _Unusual
            named &= {*_CALLS.sub(" ", body).translate(_SEPARATORS).split()}
        facts.uses = sorted(named)
        words -= self._names
        self._take_declared(function, body, words, facts)
        self._take_the_rest(body, words)
        return facts

    def _take_declared(self, function: Function, body: str, words: set[str], facts: Facts) -> None:
        """Take away the words that are declared, in no scope twice."""
        params = {variable.name for variable in (*function.params, *function.returns)}
        words.difference_update(params)
        end, is_head, scope = 0, False, _Scope()
        for match in _DECLARED.finditer(body):
            start = match.start()
            if start != end:
                before = body[max(0, start - MAX_BLANKS) : start].rstrip()
                if not before.endswith("{"):
                    raise _Unusual
                is_head = before == "{" and not end
                scope = _Scope(*params) if is_head else _Scope()
            end = match.end()
            if match["registers"]:
                self._take_registers(match["registers"], words, scope)
                continue
            found = self._declared_variables(match[0])
            if not is_head and any(v.space != "param" for v in found):
                raise _Unusual  # In an inner scope it has a name that the parser chooses.
            facts.variables += [v for v in found if v.space != "param"]
            for variable in found:
                scope.add(variable.name)
                words.discard(variable.name)

    def _take_registers(self, names: str, words: set[str], scope: _Scope) -> None:
        for name, count in _RANGE.findall(names):
            if count:
                scope.add_numbered(name)
                words.difference_update(self._numbers(name, int(count)))
            else:
                scope.add(name)
                words.discard(name)

    def _numbers(self, name: str, count: int) -> list[str]:
        """name0, name1 ..."""
        if count > MAX_NAMES:
            raise _Unusual
        known = self._numbered.setdefault(name, [])
        known += [f"{name}{n}" for n in range(len(known), count)]
        return known[:count]

    def _declared_variables(self, text: str) -> list[Variable]:
        if text not in self._variables:
            tokens = Tokens(text)
            self._variables[text] = parse_variables(tokens, tokens.next()[1:], False)
        return self._variables[text]

    def _take_the_rest(self, body: str, words: set[str]) -> None:
        """Every other word must be a literal, a label, an instruction or a special register."""
        words -= self._fine
        labels = {word[:-1] for word in words if word[-1] == ":"}
        if body.count(":") - 2 * body.count("::") != len(labels):
            raise _Unusual
        words -= labels
        for word in words:
            if word[0] in ".0123456789" or word[-1] in ":>":
                continue
            if word.partition(".")[0] not in OPCODES:
                raise _Unusual
            self._fine.add(word)


def _is_plain(body: str) -> bool:
    at = 0
    while at < len(body):
        match = _STATEMENTS.match(body, at)
        if match is None:
            return False
        at = match.end()
    return True


class _Scope:
    """What one scope declares. Names that might be the same are taken for the same."""

    def __init__(self, *names: str) -> None:
        self._names: set[str] = set()
        self._stems: set[str] = set()  # of all names: what is before their last digits
        self._numbered: set[str] = set()  # stems of name0, name1 ...
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        """One more name."""
        stem = name.rstrip(string.digits)
        if name in self._names or stem in self._numbered:
            raise _Unusual
        self._names.add(name)
        self._stems.add(stem)

    def add_numbered(self, name: str) -> None:
        """name0, name1 ..."""
        stem = name.rstrip(string.digits)
        if stem in self._stems:
            raise _Unusual
        self._stems.add(stem)
        self._numbered.add(stem)


class _Unusual(Exception):
    """Something that the parser has to look at."""
