"""The arena TensorFlow Lite Micro would need for the same graph: its greedy planner, re-computed.

TFLM places tensors by falling size, the one later in the file first among equals, each at the first gap that is
large enough, at multiples of 16 bytes; the buffers that its mean works in come after all tensors. Inputs are alive
before the first operator. That is the "head" of its arena; the "tail" (persistent structures) is not modelled here.
"""

from __future__ import annotations

from ofa_mcu.space.shapes import Mean, ShapeGraph

__all__ = ["tflm_head_bytes"]

_ALIGNMENT = 16


def tflm_head_bytes(graph: ShapeGraph) -> int:
    """Bytes of TFLM's arena head: activations and scratch buffers of the graph as its greedy planner lays them out."""
    names = [*graph.inputs, *(op.output for op in graph.operators)]
    born = dict.fromkeys(graph.inputs, -1) | {op.output: i for i, op in enumerate(graph.operators)}
    last = {name: i for i, op in enumerate(graph.operators) for name in op.inputs}
    last |= {name: len(graph.operators) - 1 for name in graph.outputs}
    wanted = [(graph.bytes_of(name), born[name], last.get(name, born[name])) for name in names]
    for i, op in enumerate(graph.operators):
        if isinstance(op, Mean):
            # an int32 for every output, a position in the input, the axes
            sums = 4 * graph.bytes_of(op.output)
            position, axes = 4 * len(graph.shapes[op.inputs[0]]), 4 * len(op.axes)
            wanted += [(size, i, i) for size in (sums, position, axes)]
    sizes = [-(-size // _ALIGNMENT) * _ALIGNMENT for size, _, _ in wanted]
    order = sorted(range(len(wanted)), key=lambda i: (-sizes[i], -i))
    placed: list[tuple[int, int, int, int]] = []  # offset, end, first, last
    for index in order:
        _, first, final = wanted[index]
        offset = 0
        for start, end, other_first, other_last in sorted(placed):
            if other_first > final or other_last < first:
                continue
            if start >= offset + sizes[index]:
                break
            offset = max(offset, end)
        placed.append((offset, offset + sizes[index], first, final))
    return max(end for _, end, _, _ in placed)
