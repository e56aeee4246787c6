"""The figures of every layer of a compiled model."""

from __future__ import annotations

from dataclasses import dataclass

from ofa_mcu.planning.compile import Compiled
from ofa_mcu.planning.core_model import CoreModel, core_model
from ofa_mcu.planning.plan import Plan
from ofa_mcu.planning.priced import code_bytes, own_code_bytes
from ofa_mcu.space.shapes import Shape

__all__ = ["LayerFigures", "layer_figures", "shape_text", "short_name"]

_LONGEST = 40


@dataclass(frozen=True)
class LayerFigures:
    """One layer: what it is, how it runs, what it costs.

    macs: multiply-accumulates. instructions: of one inference, predicted. arena_live_bytes: alive in the arena while it
    runs, scratch memory included. flash_bytes: its constants, its own function, and its share of the functions that it
    has in common with other layers; with the firmware itself and constant outputs they sum up to the flash of the whole
    image.
    """

    index: int
    name: str
    op: str
    kernel: str
    variant: str
    inputs: tuple[Shape, ...]
    output: Shape
    macs: int
    instructions: int
    arena_live_bytes: int
    scratch_bytes: int
    flash_bytes: int

    @property
    def instructions_per_mac(self) -> float | None:
        """None where the layer multiplies nothing."""
        return self.instructions / self.macs if self.macs else None

    @property
    def shapes(self) -> str:
        """Shapes of inputs and output in one text."""
        return f"{' + '.join(map(shape_text, self.inputs))} → {shape_text(self.output)}"


def layer_figures(compiled: Compiled) -> tuple[LayerFigures, ...]:
    """Figures of the layers in the order they run."""
    plan = compiled.plan
    structure, figures = plan.structure, core_model(plan.core)
    functions = _function_bytes(plan, figures)
    rows = []
    for index, (operator, one) in enumerate(zip(structure.operators, plan.ways, strict=True)):
        way = one.way
        flash = way.constant_bytes + own_code_bytes(one, figures)
        flash += functions[index]
        rows.append(
            LayerFigures(
                index=index,
                name=operator.name,
                op=type(operator).__name__,
                kernel=way.kernel,
                variant=way.variant,
                inputs=tuple(structure.shapes[name] for name in operator.inputs),
                output=structure.shapes[operator.output],
                macs=structure.macs_of(operator),
                instructions=round(one.instructions),
                arena_live_bytes=plan.memory.live_bytes[index],
                scratch_bytes=way.scratch_bytes,
                flash_bytes=round(flash),
            )
        )
    return tuple(rows)


def _function_bytes(plan: Plan, figures: CoreModel) -> list[float]:
    """Of every layer the bytes of functions that only it calls, and its share of those that others call, too.

    Shares go by what each layer would need were it alone; all together are the functions of the image.
    """
    calls = [one.way.code for one in plan.ways]
    total = code_bytes((code for codes in calls for code in codes), figures)
    alone = [code_bytes(codes, figures) for codes in calls]
    own = []
    for index in range(len(calls)):
        others = (code for other, codes in enumerate(calls) if other != index for code in codes)
        own.append(total - code_bytes(others, figures))
    shared = [a - b for a, b in zip(alone, own, strict=True)]
    rest = (total - sum(own)) / (sum(shared) or 1.0)
    return [mine + rest * part for mine, part in zip(own, shared, strict=True)]


def shape_text(shape: Shape) -> str:
    """`48×48×16`; the batch is left out."""
    return "×".join(str(extent) for extent in (shape[1:] if shape[:1] == (1,) else shape)) or "1"


def short_name(name: str) -> str:
    """A name for tables: converters join the names of all operators that became one, of which the first is kept."""
    first = name.split(";")[0]
    return first if len(first) <= _LONGEST else f"…{first[1 - _LONGEST :]}"
