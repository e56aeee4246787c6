"""From an int8 graph to its plan for a board: passes, facts, ways and places, and what it all costs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.pipeline import Optimized, Step, optimize
from ofa_mcu.planning.core_model import core_model, core_of
from ofa_mcu.planning.cost import DEFAULT_STACK_BYTES, Cost, estimate
from ofa_mcu.planning.facts import GraphFacts, Proofs, analyse
from ofa_mcu.planning.kernels.base import Flavour, LayerView
from ofa_mcu.planning.kernels.dsp_matrix import POINTWISE_ADD
from ofa_mcu.planning.places import arena_room, sram_limit
from ofa_mcu.planning.plan import Optimize, Plan, how_small, make_plan
from ofa_mcu.profiles.profile import BoardProfile
from ofa_mcu.space.shapes import Cascade, ConvAdd, ShapeGraph

__all__ = ["CompileOptions", "Compiled", "compile_graph", "fusable_sums"]


@dataclass(frozen=True)
class CompileOptions:
    """How to compile: what for, whether constant channels go, bytes of arena that speed may cost.

    `max_sram`: bytes of all of the board's memories that may be used; chains of layers run as cascades where that is
    needed for the model to fit. None: all there are, but chains run as cascades even where there is room, as long as
    that takes hardly more instructions.
    """

    optimize: Optimize = Optimize.SPEED
    dead_channels: bool = True
    arena_limit: int = 0
    stack_bytes: int = DEFAULT_STACK_BYTES
    max_sram: int | None = None


@dataclass(frozen=True, eq=False)
class Compiled:
    """A compiled model: the graph as it was and as it is generated, its plan, and its promised cost on the board.

    The plan's structure is the graph's, but where chains of layers run as cascades.
    """

    source: Int8Graph
    optimized: Optimized
    facts: GraphFacts
    plan: Plan
    cost: Cost

    @property
    def graph(self) -> Int8Graph:
        """The graph that C is generated for."""
        return self.optimized.graph


def compile_graph(graph: Int8Graph, profile: BoardProfile, options: CompileOptions | None = None) -> Compiled:
    """Compile a graph for a board's core.

    Raises:
        UsageError: no figures were measured for the core.
        OfaMcuError: an operator has no kernel.
    """
    options = options or CompileOptions()
    figures = core_model(core_of(profile))
    limit = sram_limit(profile, options.stack_bytes)
    room = arena_room(profile, options.stack_bytes, limit if options.max_sram is None else min(options.max_sram, limit))
    thrifty = options.max_sram is None and not options.arena_limit
    proofs = Proofs()
    measured = figures.flavour is Flavour.DSP and POINTWISE_ADD.name in figures.instructions
    fuse = partial(fusable_sums, proofs=proofs) if measured else False  # vectors are faster at the two apart
    optimized = optimize(graph, dead_channels=options.dead_channels, fuse_adds=fuse)

    def planned(found: Optimized, what_for: Optimize, fastest: Plan | None = None) -> Compiled:
        facts = analyse(found.graph, proofs)
        plan = make_plan(found.graph.structure, figures, facts, what_for, options.arena_limit, fastest, room, thrifty)
        cost = estimate(plan, profile, options.stack_bytes)
        return Compiled(graph, _with_cascades(found, plan.structure), facts, plan, cost)

    best = planned(optimized, Optimize.SPEED)
    if options.optimize is Optimize.SPEED:
        return best
    fastest = best.plan
    candidates = [optimized]
    if any(isinstance(op, ConvAdd) for op in optimized.graph.structure.operators):
        # Functions that add are not shared with layers that do not.
        candidates.append(optimize(graph, dead_channels=options.dead_channels))
    each = [planned(found, options.optimize, fastest) for found in candidates]
    return min(each, key=lambda one: how_small(one.plan.ways, figures, options.optimize, fastest.ways))


def _with_cascades(optimized: Optimized, planned: ShapeGraph) -> Optimized:
    """The account of the passes, and of the chains that the plan runs as cascades; tensors inside are gone."""
    cascades = [op for op in planned.operators if isinstance(op, Cascade)]
    if not cascades:
        return optimized
    changes = tuple(f"{', '.join(f'{step.name!r}' for step in one.steps)} run some rows at a time" for one in cascades)
    gone = {step.output: "cascade" for one in cascades for step in one.steps[:-1]}
    steps = (*optimized.steps, Step("cascade", changes))
    return replace(optimized, steps=steps, eliminated={**optimized.eliminated, **gone})


def fusable_sums(graph: Int8Graph, proofs: Proofs | None = None) -> tuple[str, ...]:
    """The layers that add to a convolution for which there is a kernel, of those in the graph."""
    facts = analyse(graph, proofs)
    sums = [op for op in graph.structure.operators if isinstance(op, ConvAdd)]
    return tuple(op.name for op in sums if POINTWISE_ADD.ways(LayerView(graph.structure, op, facts.of(op))))
