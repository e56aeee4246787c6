"""Plots of a compiled model as PNG files in memory; matplotlib is imported when the first one is drawn."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ofa_mcu.planning.compile import Compiled
from ofa_mcu.reports.layers import LayerFigures, short_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["all_plots", "bar_plot", "memory_plot"]

_DPI = 110
_TENSOR, _SCRATCH, _EDGE = "#5b8db8", "#e0a040", "#203040"


def all_plots(compiled: Compiled, layers: Sequence[LayerFigures]) -> dict[str, bytes]:
    """Name (without suffix) to PNG: SRAM over time, and instructions, MACs, instructions per MAC, flash per layer."""
    names = [f"{row.index} {short_name(row.name)}" for row in layers]
    kinds = [row.op for row in layers]
    return {
        "sram": memory_plot(compiled),
        "instructions": bar_plot(names, [row.instructions for row in layers], kinds, "instructions, predicted"),
        "macs": bar_plot(names, [row.macs for row in layers], kinds, "multiply-accumulates"),
        "instructions_per_mac": bar_plot(
            names, [row.instructions_per_mac or 0.0 for row in layers], kinds, "instructions per multiply-accumulate"
        ),
        "flash": bar_plot(names, [row.flash_bytes for row in layers], kinds, "bytes of flash"),
    }


def memory_plot(compiled: Compiled) -> bytes:
    """Which bytes of the arena are taken while each operator runs: tensors blue, scratch memory orange.

    Buffers that lie over each other (an output over a dying input) are seen through.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch, Rectangle

    memory, operators = compiled.plan.memory, compiled.plan.structure.operators
    figure, axes = _figure(max(7.0, 0.32 * len(operators)), 5.0)
    for buffer in memory.buffers:
        first, last = max(buffer.first, 0) - 0.5, min(buffer.last, len(operators) - 1) + 0.5
        offset = memory.scratch[buffer.scratch_of] if buffer.scratch_of else memory.offsets[buffer.name]
        color = _SCRATCH if buffer.scratch_of else _TENSOR
        axes.add_patch(
            Rectangle((first, offset), last - first, buffer.bytes, facecolor=color, edgecolor=_EDGE, alpha=0.55, lw=0.6)
        )
    axes.step(
        [index - 0.5 for index in range(len(operators) + 1)],
        [*memory.live_bytes, *(memory.live_bytes[-1:] or (memory.arena_bytes,))],
        where="post",
        color="#202020",
        lw=1.0,
        ls=":",
    )
    axes.axhline(memory.arena_bytes, color="#b03030", lw=1.0)
    axes.set_xlim(-0.5, len(operators) - 0.5)
    axes.set_ylim(0, memory.arena_bytes * 1.04)
    axes.set_xticks(
        range(len(operators)), [f"{i} {short_name(op.name)}" for i, op in enumerate(operators)], rotation=90, fontsize=6
    )
    axes.set_ylabel("offset in the arena, bytes")
    axes.set_title(f"SRAM over time: arena {memory.arena_bytes:,} B, lower bound {memory.lower_bound:,} B")
    axes.legend(
        handles=[
            Patch(facecolor=_TENSOR, alpha=0.55, label="tensor"),
            Patch(facecolor=_SCRATCH, alpha=0.55, label="scratch"),
            Line2D([], [], color="#202020", lw=1.0, ls=":", label="bytes alive"),
            Line2D([], [], color="#b03030", lw=1.0, label="arena"),
        ],
        fontsize=7,
        loc="upper right",
    )
    return _png(figure)


def bar_plot(names: Sequence[str], values: Sequence[float], kinds: Sequence[str], label: str) -> bytes:
    """One bar for each layer, colored by the kind of its operator."""
    from matplotlib import colormaps
    from matplotlib.patches import Patch

    palette = colormaps["tab20"]
    colors = {kind: palette(index % 20) for index, kind in enumerate(dict.fromkeys(kinds))}
    figure, axes = _figure(max(7.0, 0.32 * len(names)), 4.2)
    axes.bar(range(len(values)), values, color=[colors[kind] for kind in kinds], width=0.8)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=6)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_ylabel(label)
    axes.legend(handles=[Patch(color=color, label=kind) for kind, color in colors.items()], fontsize=7)
    return _png(figure)


def _figure(width: float, height: float) -> tuple[Figure, Any]:
    """A figure that belongs to no window system, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(min(width, 40.0), height), layout="constrained")
    return figure, figure.subplots()


def _png(figure: Figure) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    out = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(out, format="png", dpi=_DPI, metadata={"Software": None})
    return out.getvalue()
