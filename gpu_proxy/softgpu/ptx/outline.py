# SPDX-License-Identifier: Apache-2.0
"""A module before its bodies are read: what is in it, and which function needs which.

The outline is made once for a text. It can be kept as bytes, so that a kernel of a large module is
compiled without looking through the whole module again.
"""

from __future__ import annotations

import msgspec

from gpu_proxy.softgpu.ptx.ast import Module
from gpu_proxy.softgpu.ptx.facts import address_taken, facts_of
from gpu_proxy.softgpu.ptx.parser import parse_body, parse_outside
from gpu_proxy.softgpu.ptx.quick import Examiner


def make_outline(text: str) -> Module:
    """Everything but the bodies, and those bodies that had to be read for it.

    Malformed PTX is an error here, but for what only the meaning of an instruction tells."""
    module = parse_outside(text)
    examiner = Examiner(module)
    for function in module.functions.values():
        if function.span is None:
            continue
        facts = examiner.examine(function, text[function.span.start : function.span.end])
        if facts is None:
            parse_body(text, function)
            facts = facts_of(module, function)
        function.facts = facts
    module.address_taken = address_taken(module)
    return module


def encode(module: Module) -> bytes:
    """An outline as bytes, without bodies and initial values."""
    functions = {
        name: msgspec.structs.replace(
            f,
            body=None,
            regs={},
            variables={},
            tables={},
            prototypes={},
            facts=msgspec.structs.replace(
                f.facts,
                variables=[msgspec.structs.replace(v, init=None) for v in f.facts.variables],
            ),
        )
        for name, f in module.functions.items()
    }
    variables = {
        name: msgspec.structs.replace(v, init=None) for name, v in module.variables.items()
    }
    return msgspec.msgpack.encode(
        msgspec.structs.replace(module, functions=functions, variables=variables)
    )


def decode(data: bytes) -> Module:
    """The outline that `encode` wrote."""
    return msgspec.msgpack.decode(data, type=Module)
