"""The arena TensorFlow Lite Micro would need for the same graph: its greedy planner, re-computed.

TFLM places tensors by falling size, the one later in the file first among equals, each at the first gap that is
large enough, at multiples of 16 bytes. That is the "head" of its arena; the "tail" (persistent structures) is not
modelled here.
"""

from __future__ import annotations

from ofa_mcu.space.shapes import ShapeGraph

__all__ = ["tflm_head_bytes"]

_ALIGNMENT = 16


def tflm_head_bytes(graph: ShapeGraph) -> int:
    """Bytes of TFLM's arena head: activations of the graph as its greedy planner lays them out."""
    names = [*graph.inputs, *(op.output for op in graph.operators)]
    born = {name: 0 for name in graph.inputs} | {op.output: i for i, op in enumerate(graph.operators)}
    last = {name: i for i, op in enumerate(graph.operators) for name in op.inputs}
    last |= {name: len(graph.operators) - 1 for name in graph.outputs}
    sizes = [-(-graph.bytes_of(name) // _ALIGNMENT) * _ALIGNMENT for name in names]
    order = sorted(range(len(names)), key=lambda i: (-sizes[i], -i))
    placed: list[tuple[int, int, int, int]] = []  # offset, end, first, last
    for index in order:
        first, final = born[names[index]], last.get(names[index], born[names[index]])
        offset = 0
        for start, end, other_first, other_last in sorted(placed):
            if other_first > final or other_last < first:
                continue
            if start >= offset + sizes[index]:
                break
            offset = max(offset, end)
        placed.append((offset, offset + sizes[index], first, final))
    return max(end for _, end, _, _ in placed)
