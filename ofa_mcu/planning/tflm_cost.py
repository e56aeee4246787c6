"""What a network costs with TensorFlow Lite Micro instead of compiled code: bounds and estimates, not promises.

SRAM is an upper bound: the arena as `planning.tflm` predicts it, our firmware's static data, what the interpreter keeps
outside of the arena, and the stack. Flash is the .tflite file and the most code that was published for TFLM with
CMSIS-NN (28 to 100 kB, by operators and core). Instructions rest on the counts that were published for TFLM of August
2026 with CMSIS-NN on a Cortex-M7: totals of the four networks that the figures below were fitted to agree within 10 %.
Cores without DSP instructions take more, those with vectors fewer; how many is not known.
"""

from __future__ import annotations

from math import prod

from ofa_mcu.planning.core_model import core_model, core_of
from ofa_mcu.planning.cost import Cost, LayerCost, section_bytes
from ofa_mcu.planning.kernels.base import Flavour
from ofa_mcu.planning.tflm import TFLM_STACK_BYTES, tflm_arena_needs
from ofa_mcu.profiles.profile import BoardProfile
from ofa_mcu.space.shapes import Add, Conv2D, DepthwiseConv2D, FullyConnected, Operator, ShapeGraph, Sub

__all__ = ["TFLM_BASIS", "TFLM_INSTRUCTIONS_BAND", "file_bytes", "knows_instructions", "tflm_cost"]

TFLM_BASIS = "TFLite Micro with CMSIS-NN, by published counts on a Cortex-M7"
TFLM_INSTRUCTIONS_BAND = 0.15
"""Relative error to be expected of the instructions on cores with DSP instructions: that of the four, and a margin."""

_CODE_BYTES = 100_000
_STATIC_BYTES = 1024
"""Interpreter, resolver and the library's own variables, at most."""

_POINTWISE_MAC, _CONVOLUTION_MAC, _FIRST_MAC, _DENSE_MAC = 1.7, 2.08, 2.0, 2.2
_DEPTHWISE_MAC, _MULTIPLYING_MAC = 8.0, 4.6  # the latter where each channel becomes several
_OUTPUT, _FIRST_OUTPUT, _SUM_OUTPUT, _OTHER_ELEMENT = 36, 90, 81, 4
"""Instructions of a multiply-accumulate, and of an output beyond that; of the convolution that reads up to four
channels, which are widened one by one; of a sum; of what other operators read or write."""
_FEW_CHANNELS = 4

_FILE_BYTES, _WEIGHTED_BYTES, _OTHER_BYTES, _VECTOR_BYTES = 552, 299, 104, 52
"""Of the file's frame; of an operator with weights, and without; of vectors as long as none before."""
_BIAS_BYTES, _SCALE_BYTES, _ZERO_POINT_BYTES = 4, 4, 8


def knows_instructions(profile: BoardProfile) -> bool:
    """Whether the board's core is one that the figures hold for."""
    return core_model(core_of(profile)).flavour is Flavour.DSP


def tflm_cost(structure: ShapeGraph, profile: BoardProfile, model_bytes: int | None = None) -> Cost:
    """The cost on the board of a network as it is in its file, `model_bytes` long (default: estimated from shapes).

    UsageError where no figures were measured for the board's core.
    """
    figures = core_model(core_of(profile))
    needs = tflm_arena_needs(structure, cmsis_nn=True)
    layers = tuple(
        LayerCost(operator.name, "cmsis_nn", "", structure.macs_of(operator), _instructions(structure, operator), 0)
        for operator in structure.operators
    )
    arena, static = section_bytes(needs.arena_bytes), figures.static_bytes + _STATIC_BYTES
    weights = file_bytes(structure) if model_bytes is None else model_bytes
    return Cost(
        core=figures.core,
        arena_bytes=arena,
        static_bytes=static,
        stack_bytes=TFLM_STACK_BYTES,
        sram_bytes=arena + static + TFLM_STACK_BYTES,
        flash_firmware_bytes=figures.base_flash_bytes,
        flash_code_bytes=_CODE_BYTES,
        flash_weight_bytes=weights,
        flash_bytes=figures.base_flash_bytes + _CODE_BYTES + weights,
        instructions=round(sum([layer.instructions for layer in layers])),
        macs=structure.macs,
        layers=layers,
    )


def _instructions(structure: ShapeGraph, operator: Operator) -> float:
    macs, outputs = structure.macs_of(operator), prod(structure.shapes[operator.output])
    match operator:
        case Conv2D() if structure.shapes[operator.inputs[0]][-1] <= _FEW_CHANNELS:
            return _FIRST_MAC * macs + _FIRST_OUTPUT * outputs
        case Conv2D(kernel=(1, 1)):
            return _POINTWISE_MAC * macs + _OUTPUT * outputs
        case Conv2D():
            return _CONVOLUTION_MAC * macs + _OUTPUT * outputs
        case DepthwiseConv2D(depth_multiplier=1):
            return _DEPTHWISE_MAC * macs
        case DepthwiseConv2D():
            return _MULTIPLYING_MAC * macs
        case FullyConnected():
            return _DENSE_MAC * macs + _OUTPUT * outputs
        case Add() | Sub():
            return _SUM_OUTPUT * outputs
        case _:
            return _OTHER_ELEMENT * max(outputs, prod(structure.shapes[operator.inputs[0]]))


def file_bytes(structure: ShapeGraph) -> int:
    """The .tflite file that `write_tflite` makes of a network of this structure, within 128 B for subnets."""
    total, per_channel, counts = _FILE_BYTES, set[int](), set[int]()
    for operator in structure.operators:
        shape = structure.weight_shape(operator)
        if shape is None:
            total += _OTHER_BYTES
            continue
        channels = structure.shapes[operator.output][-1]
        counts.add(channels)
        total += _WEIGHTED_BYTES + prod(shape) + _BIAS_BYTES * channels
        if not isinstance(operator, FullyConnected):
            per_channel.add(channels)
            total += _SCALE_BYTES * channels
    # Equal vectors are in the file once, and all zero points of filters are 0.
    return total + _VECTOR_BYTES * len(counts) + _ZERO_POINT_BYTES * sum(per_channel)
