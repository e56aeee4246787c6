"""Ways with their price: instructions, cycles and bytes of code, as the core's figures say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from math import inf

from ofa_mcu.planning.core_model import CoreModel
from ofa_mcu.planning.kernels import KERNELS
from ofa_mcu.planning.kernels.base import Code, Kernel, Way

__all__ = [
    "PricedWay",
    "code_bytes",
    "code_items",
    "function_bytes",
    "kernel_named",
    "own_code_bytes",
    "plan_code",
    "price",
    "priced",
    "runs_of",
    "variant_name",
    "was_measured",
]

_BY_NAME: Mapping[str, Kernel] = {kernel.name: kernel for kernel in KERNELS}
_TERMS: Mapping[str, tuple[str, ...]] = {kind: terms for kernel in KERNELS for kind, terms in kernel.code_terms.items()}

_CALL_BYTES = 4
"""Of the instruction that runs a layer."""


@dataclass(frozen=True)
class PricedWay:
    """A way, the instructions one run of it takes, and its cycles by the core's published timing where that is known.

    Ways are compared by `effort`: cycles, or else instructions. `parts` are the layers of a cascade, each with what all
    its runs take; the loops around them take the rest.
    """

    way: Way
    instructions: float
    cycles: float | None = None
    parts: tuple[PricedWay, ...] = ()

    @property
    def effort(self) -> float:
        """What a plan keeps low."""
        return self.instructions if self.cycles is None else self.cycles

    @property
    def loops(self) -> float:
        """Instructions of the loops around the layers of a cascade."""
        return self.instructions - sum([part.instructions for part in self.parts])


def kernel_named(name: str) -> Kernel:
    """The kernel of that name; KeyError where there is none."""
    return _BY_NAME[name]


def variant_name(way: Way) -> str:
    """The name under which the cycles per instruction of a variant of a kernel are stored."""
    return f"{way.kernel} {way.variant}".rstrip()


def price(way: Way, figures: CoreModel) -> float:
    """Instructions of one run of the way; infinite where it does something that was not measured on that core."""
    weights = figures.instructions.get(way.kernel, {})
    names = way.features or _BY_NAME[way.kernel].features
    return sum([weights.get(name, inf) * count for name, count in zip(names, way.counts, strict=True) if count])


def priced(way: Way, figures: CoreModel) -> PricedWay:
    """The way with its instructions, and its cycles where the core's timing is known."""
    instructions = price(way, figures)
    if not figures.cycles:
        return PricedWay(way, instructions)
    rate = figures.cycles.get(variant_name(way))
    return PricedWay(way, instructions, instructions * (_usual_rate(figures, way.kernel) if rate is None else rate))


@cache
def _usual_rate(figures: CoreModel, kernel: str) -> float:
    """Cycles per instruction of a variant that was not measured: the mean of the kernel, or of all there are."""
    known = figures.cycles
    alike = [rate for name, rate in known.items() if name.partition(" ")[0] == kernel] or list(known.values())
    return sum(alike) / len(alike)


def function_bytes(code: Code, figures: CoreModel) -> float:
    """Bytes of a generated function; infinite where its kind was not measured on that core."""
    weights = figures.code.get(code.kind, {})
    terms = zip(_TERMS[code.kind], code.counts, strict=True)
    return sum([weights.get(term, inf) * count for term, count in terms if count])


def was_measured(one: PricedWay, figures: CoreModel) -> bool:
    """Whether instructions and code of the way are known on that core."""
    return one.instructions < inf and all(function_bytes(code, figures) < inf for code in one.way.code if code.key)


def code_items(codes: Iterable[Code], figures: CoreModel) -> dict[object, float]:
    """Pieces of code that functions bring along, each with its bytes: generated ones, and groups of the library."""
    once = {(code.kind, code.key): code for code in codes}
    named = {kind for kind, key in once if not key}
    items: dict[object, float] = {
        number: size for number, (functions, size) in enumerate(figures.library) if not named.isdisjoint(functions)
    }
    return items | {key: function_bytes(code, figures) for key, code in once.items() if code.key}


def code_bytes(codes: Iterable[Code], figures: CoreModel) -> float:
    """Bytes of functions, equal ones counted once."""
    return sum(code_items(codes, figures).values())


def own_code_bytes(one: PricedWay, figures: CoreModel) -> float:
    """Bytes of a layer's own function and of its call, and of those of a cascade's layers."""
    own = figures.layer_code_bytes
    return sum([own[way.kernel] + _CALL_BYTES for way in (one.way, *one.way.parts)])


def plan_code(ways: Iterable[PricedWay], figures: CoreModel) -> float:
    """Bytes of code of layers that run in these ways: their own, their calls, and that of all functions."""
    ways = tuple(ways)
    own = sum([own_code_bytes(one, figures) for one in ways])
    return own + code_bytes((function for one in ways for function in one.way.code), figures)


def runs_of(one: PricedWay) -> list[tuple[str, float, int]]:
    """Kernel, instructions and bytes of constants of what runs: the way, or a cascade's layers and loops."""
    if not one.parts:
        return [(one.way.kernel, one.instructions, one.way.constant_bytes)]
    layers = [(part.way.kernel, part.instructions, part.way.constant_bytes) for part in one.parts]
    return [*layers, (one.way.kernel, one.loops, 0)]
