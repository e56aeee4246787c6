"""What runs a network on a board, and what the network costs there with it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.tflite_writer import write_tflite
from ofa_mcu.planning.compile import CompileOptions, compile_graph
from ofa_mcu.planning.core_model import core_model, core_of, stand_in
from ofa_mcu.planning.cost import Cost, estimate
from ofa_mcu.planning.places import arena_room, sram_limit
from ofa_mcu.planning.plan import make_plan
from ofa_mcu.planning.tflm import tflm_arena_needs
from ofa_mcu.planning.tflm_cost import knows_instructions, tflm_cost
from ofa_mcu.profiles.profile import BoardProfile
from ofa_mcu.space.shapes import ShapeGraph

__all__ = ["Runtime", "Settled", "counts_instructions", "settled", "shape_cost", "whose_figures"]


class Runtime(StrEnum):
    """Our generated code, or TensorFlow Lite Micro's interpreter."""

    COMPILED = "compiled"
    TFLM = "tflm"


@dataclass(frozen=True)
class Settled:
    """What a network costs with its weights, and bytes below which no arena can be enough for it."""

    cost: Cost
    arena_lower_bound: int


def counts_instructions(profile: BoardProfile, runtime: Runtime) -> bool:
    """Whether it is known how many instructions the runtime takes on the board's core."""
    return runtime is Runtime.COMPILED or knows_instructions(profile)


def whose_figures(profile: BoardProfile, runtime: Runtime) -> str | None:
    """What to say of figures that are not those of the board's core, one sentence; None where there is nothing."""
    if runtime is Runtime.COMPILED:
        return stand_in(profile)
    if not knows_instructions(profile):
        return f"How many instructions TFLite Micro takes on a {profile.core} is not known."
    return None


def shape_cost(structure: ShapeGraph, profile: BoardProfile, runtime: Runtime, max_sram: float | None = None) -> Cost:
    """The cost of any network of that structure, planned to fit the board and `max_sram` bytes where it can.

    UsageError where no figures were measured for the board's core.
    """
    if runtime is Runtime.TFLM:
        return tflm_cost(structure, profile)
    room = arena_room(profile, max_sram=max_sram)
    return estimate(make_plan(structure, core_model(core_of(profile)), room=room), profile)


def settled(graph: Int8Graph, profile: BoardProfile, runtime: Runtime, max_sram: float | None = None) -> Settled:
    """The cost of this network, compiled or as the file that the interpreter reads; as `shape_cost`."""
    if runtime is Runtime.TFLM:
        cost = tflm_cost(graph.structure, profile, len(write_tflite(graph)))
        return Settled(cost, tflm_arena_needs(graph.structure).least_bytes)
    limit = sram_limit(profile) if max_sram is None else int(max_sram)
    compiled = compile_graph(graph, profile, CompileOptions(max_sram=limit))
    return Settled(compiled.cost, compiled.plan.memory.lower_bound)
