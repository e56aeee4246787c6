"""Why a model compiled as it did: what each pass changed, which ways each layer had, and why one was taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ofa_mcu.graph.pipeline import Step
from ofa_mcu.planning.cascades import ways_of
from ofa_mcu.planning.compile import Compiled, CompileOptions
from ofa_mcu.planning.core_model import CoreModel, core_model
from ofa_mcu.planning.memory import Lifetimes, lifetimes
from ofa_mcu.planning.plan import Optimize
from ofa_mcu.planning.priced import PricedWay, code_bytes

__all__ = ["Considered", "Explanation", "LayerChoice", "explain"]


@dataclass(frozen=True)
class Considered:
    """A way that a layer could have been run in; figures of one inference and bytes.

    code_bytes: of all functions the way calls, were nobody else to call them. arena_bytes: alive while it runs, at
    best.
    """

    kernel: str
    variant: str
    instructions: int
    scratch_bytes: int
    arena_bytes: int
    code_bytes: int
    constant_bytes: int
    chosen: bool


@dataclass(frozen=True)
class LayerChoice:
    """The ways of a layer, fewest instructions first, and why the chosen one was chosen."""

    name: str
    op: str
    reason: str
    ways: tuple[Considered, ...]


@dataclass(frozen=True)
class Explanation:
    """Of a compiled model; `eliminated` maps tensors that are gone to the pass that took them."""

    passes: tuple[Step, ...]
    eliminated: Mapping[str, str]
    layers: tuple[LayerChoice, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "passes": [{"name": step.name, "changes": list(step.changes)} for step in self.passes],
            "eliminated": dict(self.eliminated),
            "choices": [asdict(layer) for layer in self.layers],
        }


def explain(compiled: Compiled, options: CompileOptions) -> Explanation:
    """The account of a compiled model; the ways are those that no other way beats in everything."""
    plan, figures = compiled.plan, core_model(compiled.plan.core)
    times = lifetimes(plan.structure)
    layers = []
    for index, (operator, chosen) in enumerate(zip(plan.structure.operators, plan.ways, strict=True)):
        ways = ways_of(plan.structure, operator, figures, compiled.facts)
        reason = _reason(times, index, ways, chosen, plan.memory.arena_bytes, options.optimize, figures)
        considered = tuple(
            Considered(
                kernel=one.way.kernel,
                variant=one.way.variant,
                instructions=round(one.instructions),
                scratch_bytes=one.way.scratch_bytes,
                arena_bytes=times.footprint(index, one.way),
                code_bytes=round(code_bytes(one.way.code, figures)),
                constant_bytes=one.way.constant_bytes,
                chosen=one.way == chosen.way,
            )
            for one in ways
        )
        layers.append(LayerChoice(operator.name, type(operator).__name__, reason, considered))
    optimized = compiled.optimized
    return Explanation(optimized.steps, dict(optimized.eliminated), tuple(layers))


def _reason(
    times: Lifetimes,
    index: int,
    ways: tuple[PricedWay, ...],
    chosen: PricedWay,
    arena: int,
    optimize: Optimize,
    figures: CoreModel,
) -> str:
    fastest = ways[0]
    if len(ways) == 1:
        return "the only way"
    if chosen.way == fastest.way:
        return "fewest instructions"
    slower = f"{chosen.instructions / max(fastest.instructions, 1) - 1:.1%} more instructions than {name_of(fastest)}"
    need = times.footprint(index, fastest.way)
    if need > arena:
        return f"{slower}, which would need an arena of {need:,} bytes instead of {arena:,}"
    saved = code_bytes(fastest.way.code, figures) - code_bytes(chosen.way.code, figures)
    if optimize is not Optimize.SPEED:
        return (
            f"{slower}; less code in the whole image ({saved:+,.0f} bytes here, and functions shared with other layers)"
        )
    return f"{slower}, for which there was no room beside its neighbours in {arena:,} bytes of arena"


def name_of(one: PricedWay) -> str:
    """Kernel and variant."""
    return f"{one.way.kernel} ({one.way.variant})" if one.way.variant else one.way.kernel
