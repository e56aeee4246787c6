"""C of pools and means."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ofa_mcu.codegen.c_text import Fields, descriptor
from ofa_mcu.codegen.kernels.base import LayerCode, PlacedLayer
from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph.constants import MeanConstants, PoolConstants
from ofa_mcu.planning.kernels.pools import MeanLoops, mean_loops
from ofa_mcu.space.shapes import Mean, Pool2D

__all__ = ["POOL_WRITERS"]


def _pool(layer: PlacedLayer) -> LayerCode:
    operator, constants = layer.operator, layer.constants
    assert isinstance(operator, Pool2D)
    assert isinstance(constants, PoolConstants)
    source, target = layer.view.source, layer.view.target
    fields: Fields = {
        "input_height": source[1],
        "input_width": source[2],
        "output_height": target[1],
        "output_width": target[2],
        "channels": target[3],
        "kernel_height": operator.kernel[0],
        "kernel_width": operator.kernel[1],
        "stride_height": operator.stride[0],
        "stride_width": operator.stride[1],
        "pad_top": operator.padding.top,
        "pad_left": operator.padding.left,
        "clamp_min": constants.clamp_min,
        "clamp_max": constants.clamp_max,
    }
    call = f"{layer.way.kernel}(&layer, {layer.inputs[0]}, {layer.output});"
    return LayerCode({}, (*descriptor("ofa_pool_layer", fields), call), headers=("ofa_operators.h",))


def _loops(layer: PlacedLayer) -> tuple[MeanLoops, MeanConstants]:
    operator, constants = layer.operator, layer.constants
    assert isinstance(operator, Mean)
    assert isinstance(constants, MeanConstants)
    loops = mean_loops(layer.view.source, operator.axes)
    if loops is None:
        raise OfaMcuError(f"layer '{operator.name}' needs more loops than there are: plan it again")
    return loops, constants


def _mean(layer: PlacedLayer) -> LayerCode:
    loops, constants = _loops(layer)
    fields: Fields = {
        "pixels": constants.count,
        "multiplier": constants.scaling.multiplier,
        "channels": loops[0][1][0],
        "shift": constants.scaling.shift,
        "input_zero_point": constants.input_zero_point,
        "output_zero_point": constants.output_zero_point,
        "rescale": 1,
    }
    call = f"{layer.way.kernel}(&layer, {layer.inputs[0]}, {layer.output});"
    return LayerCode({}, (*descriptor("ofa_mean_layer", fields), call), headers=("ofa_operators.h",))


def _mean_axes(layer: PlacedLayer) -> LayerCode:
    (kept, summed), constants = _loops(layer)
    fields: Fields = {
        "kept": f"{{{kept[0][0]}, {kept[1][0]}}}",
        "kept_steps": f"{{{kept[0][1]}, {kept[1][1]}}}",
        "summed": f"{{{summed[0][0]}, {summed[1][0]}}}",
        "summed_steps": f"{{{summed[0][1]}, {summed[1][1]}}}",
        "multiplier": constants.scaling.multiplier,
        "base": -constants.count * constants.input_zero_point,
        "shift": constants.scaling.shift,
        "output_zero_point": constants.output_zero_point,
    }
    call = f"ofa_mean_axes(&layer, {layer.inputs[0]}, {layer.output});"
    return LayerCode({}, (*descriptor("ofa_mean_axes_layer", fields), call), headers=("ofa_operators.h",))


POOL_WRITERS: Mapping[str, Callable[[PlacedLayer], LayerCode]] = {
    "ofa_dsp_average_pool": _pool,
    "ofa_dsp_max_pool": _pool,
    "ofa_dsp_mean": _mean,
    "ofa_average_pool": _pool,
    "ofa_max_pool": _pool,
    "ofa_mean": _mean,
    "ofa_mean_axes": _mean_axes,
}
"""By the name of the kernel."""
