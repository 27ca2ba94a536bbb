# SPDX-License-Identifier: Apache-2.0
"""Who calls whom: which kernels need fibers, how much local memory a thread needs, which
functions are reachable.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from gpu_proxy.softgpu.ptx.ast import Function, Instr, Module, Sym

_SYNC = frozenset(
    {"bar", "barrier", "shfl", "vote", "match", "redux", "activemask", "elect", "nanosleep"}
)
_WARP_TENSOR = frozenset({"mma", "ldmatrix", "stmatrix", "movmatrix", "wmma"})
RECURSION_BYTES = 64 * 1024


class Mode(enum.Enum):
    """How the threads of a kernel are run."""

    LOOP = "they never wait: a loop over them"
    COROUTINE = "they wait in the kernel itself: one coroutine each"
    FIBER = "they wait in functions that the kernel calls: one fiber each"


class CallGraph:
    """Facts about calls in one module. `read` fetches the body of a function."""

    def __init__(self, module: Module, read: Callable[[Function], None]) -> None:
        self.module = module
        self._read = read
        self._waiting: dict[str, bool] = {}
        self.calls = {
            name: {module.resolve(called) for called in function.facts.calls}
            for name, function in module.functions.items()
        }
        self.indirect = {n for n, f in module.functions.items() if f.facts.calls_pointers}

    def needed(self, *starts: str) -> set[str]:
        """Functions that these run by calling them by name, themselves included."""
        return self._closure(starts, pointers=False)

    def reachable(self, start: str) -> set[str]:
        """Functions that a call of `start` may run, itself included."""
        return self._closure((start,), pointers=True)

    def _closure(self, starts: tuple[str, ...], *, pointers: bool) -> set[str]:
        seen: set[str] = set()
        work = list(starts)
        while work:
            name = work.pop()
            if name in seen or name not in self.module.functions:
                continue
            seen.add(name)
            work += self.calls[name]
            if pointers and name in self.indirect:
                work += self.module.address_taken
        return seen

    def calls_pointers(self, kernel: str) -> bool:
        """Whether a kernel needs the functions that can be called through pointers."""
        return not self.indirect.isdisjoint(self.needed(kernel))

    def mode(self, name: str) -> Mode:
        """How to run a kernel; device functions themselves are never coroutines."""
        function = self.module.functions[name]
        if any(self._waits(called) for called in self.reachable(name) - {name}):
            return Mode.FIBER
        if not self._waits(name):
            return Mode.LOOP
        return Mode.COROUTINE if function.is_entry and not self.calls_itself(name) else Mode.FIBER

    def calls_itself(self, name: str) -> bool:
        """Whether a function may run inside a call of itself."""
        return any(name in self.calls[called] for called in self.reachable(name))

    def _waits(self, name: str) -> bool:
        if name not in self._waiting:
            self._waiting[name] = self._synchronises(self.module.functions[name])
        return self._waiting[name]

    def _synchronises(self, function: Function) -> bool:
        self._read(function)
        labels = _label_positions(function)
        observes: list[int] = []
        for at, item in enumerate(function.body or ()):
            if not isinstance(item, Instr):
                continue
            if item.op in _SYNC or item.op in _WARP_TENSOR:
                return True
            if item.op == "exit" and not function.is_entry:
                return True
            if _observes(item):
                observes.append(at)
        # A loop around a volatile or atomic access may wait for another thread of the block.
        return any(
            start <= at <= end for start, end in _back_edges(function, labels) for at in observes
        )

    def local_bytes(self, kernel: str, own: dict[str, int]) -> int:
        """The local window for one thread: the deepest path, and room for recursion where there
        is some.
        """
        best: dict[str, int] = {}
        active: set[str] = set()
        recursive = False

        def depth(name: str) -> int:
            nonlocal recursive
            if name in active:
                recursive = True
                return 0
            if name not in self.module.functions:
                return 0
            if name not in best:
                active.add(name)
                callees = set(self.calls[name])
                if name in self.indirect:
                    callees |= set(self.module.address_taken)
                best[name] = own.get(name, 0) + max((depth(c) for c in callees), default=0)
                active.discard(name)
            return best[name]

        total = depth(kernel)
        return total + (RECURSION_BYTES if recursive else 0)


def _observes(instr: Instr) -> bool:
    if instr.op in ("atom", "ld"):
        return instr.op == "atom" or bool(
            {"volatile", "relaxed", "acquire", "mmio"} & set(instr.mods)
        )
    return False


def _label_positions(function: Function) -> dict[str, int]:
    return {
        item.name: at for at, item in enumerate(function.body or ()) if not isinstance(item, Instr)
    }


def _back_edges(function: Function, labels: dict[str, int]) -> list[tuple[int, int]]:
    edges = []
    for at, item in enumerate(function.body or ()):
        if isinstance(item, Instr) and item.op == "bra" and item.args:
            target = item.args[0]
            if isinstance(target, Sym) and labels.get(target.name, at + 1) <= at:
                edges.append((labels[target.name], at))
    return edges


def spin_branches(function: Function) -> set[int]:
    """Positions of backward branches around an access that observes other threads: those yield."""
    labels = _label_positions(function)
    body = function.body or []
    observes = [at for at, item in enumerate(body) if isinstance(item, Instr) and _observes(item)]
    return {
        end
        for start, end in _back_edges(function, labels)
        if any(start <= at <= end for at in observes)
    }
