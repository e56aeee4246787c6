"""What the numbers of an int8 graph ask of its kernels: facts for the planner, proved constants for the generator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ofa_mcu.graph.arithmetic import INT8_MAX, INT8_MIN
from ofa_mcu.graph.constants import AddConstants, ChannelRequantization, ConvAddConstants, operator_constants
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.planning.affine import affine_form
from ofa_mcu.planning.filters import filter_matrix, fold_bias
from ofa_mcu.planning.kernels.base import Facts, Rounding
from ofa_mcu.planning.products import product_form
from ofa_mcu.planning.requantize import (
    ChannelScales,
    FastScales,
    accumulator_range,
    own_shifts,
    prove,
    widest_shift,
)
from ofa_mcu.planning.sum_tables import sum_tables
from ofa_mcu.space.shapes import ConvAdd, Operator, Sub

__all__ = ["SHAPES_ONLY", "GraphFacts", "Proofs", "analyse", "channel_scales"]


@dataclass(frozen=True, eq=False)
class GraphFacts:
    """`facts` by operator name, the default where one is missing; `scales` where a fast rounding was proved."""

    facts: Mapping[str, Facts] = field(default_factory=dict)
    scales: Mapping[str, FastScales] = field(default_factory=dict)

    def of(self, operator: Operator) -> Facts:
        """Facts of the operator."""
        return self.facts.get(operator.name, _ASSUMED)


_ASSUMED = Facts()


class Proofs:
    """Scales of filters and what was proved of them, for graphs that have most filters in common."""

    def __init__(self) -> None:
        self._scales: dict[str, ChannelScales] = {}
        self._proved: dict[tuple[str, int | None], FastScales] = {}

    def known(self, name: str, scales: ChannelScales) -> ChannelScales:
        """Equal scales that were given for the filter before, or these."""
        before = self._scales.get(name)
        if before is not None and before.same(scales):
            return before
        self._scales[name] = scales
        for key in [key for key in self._proved if key[0] == name]:
            del self._proved[key]
        return scales

    def prove(self, name: str, shift: int | None) -> FastScales:
        """The filter's constants for a shift, None for one of each channel."""
        if (name, shift) not in self._proved:
            scales = self._scales[name]
            self._proved[name, shift] = prove(scales, own_shifts(scales) if shift is None else shift)
        return self._proved[name, shift]


SHAPES_ONLY = GraphFacts()
"""What is assumed of a network without weights."""


def channel_scales(graph: Int8Graph, operator: Operator, constants: ChannelRequantization) -> ChannelScales:
    """How TFLite scales the accumulators of a filter, and how large these can become."""
    parameters = graph.parameters[operator.name]
    matrix = filter_matrix(operator, parameters.weights)
    lowest, highest = accumulator_range(matrix, fold_bias(operator, parameters, constants.input_zero_point))
    return ChannelScales(
        multiplier=constants.multiplier.astype(np.int64),
        shift=constants.shift.astype(np.int64),
        lowest=lowest,
        highest=highest,
        zero_point=constants.output_zero_point,
        clamp_min=constants.clamp_min,
        clamp_max=constants.clamp_max,
    )


def analyse(graph: Int8Graph, proofs: Proofs | None = None) -> GraphFacts:
    """Facts of every operator; `proofs` of other graphs are used and added to.

    Filters share one shift where that can be proved, so that they can share code; else a filter gets its own, else
    each of its channels.
    """
    proofs = proofs or Proofs()
    facts: dict[str, Facts] = {}
    filters: dict[str, tuple[ChannelScales, Facts]] = {}
    for operator in graph.structure.operators:
        constants = operator_constants(graph, operator)
        addition: AddConstants | None = None
        if isinstance(operator, ConvAdd) and isinstance(constants, ConvAddConstants):
            operator, addition, constants = operator.convolution, constants.addition, constants.convolution
        if isinstance(constants, ChannelRequantization):
            scales = proofs.known(operator.name, channel_scales(graph, operator, constants))
            weights = graph.parameters[operator.name].weights
            clamped = constants if addition is None else addition
            filters[operator.name] = (
                scales,
                Facts(
                    dead_zone=scales.dead_zone,
                    clamp_low=clamped.clamp_min > INT8_MIN,
                    clamp_high=clamped.clamp_max < INT8_MAX,
                    wide_weights=bool(weights.min() == INT8_MIN),
                    affine=addition is None or product_form(addition) is not None,
                    scaled_down=int(constants.shift.max()) <= (-1 if scales.dead_zone else 0),
                ),
            )
        elif isinstance(constants, AddConstants):
            subtract = isinstance(operator, Sub)
            form = affine_form(constants, subtract=subtract)
            facts[operator.name] = Facts(
                dead_zone=form is not None and form.dead_zone != 0,
                clamp_low=constants.clamp_min > INT8_MIN,
                clamp_high=constants.clamp_max < INT8_MAX,
                affine=form is not None,
                tables=form is not None or sum_tables(constants, subtract=subtract) is not None,
            )
    common = min((widest_shift(scales) for scales, _ in filters.values()), default=1)
    proved: dict[str, FastScales] = {}
    for name, (scales, assumed) in filters.items():
        fast, rounding = _rounding(name, scales, common, proofs)
        if fast is not None:
            proved[name] = fast
        shift = fast.shift if fast is not None and isinstance(fast.shift, int) else 0
        facts[name] = replace(assumed, rounding=rounding, shift=shift)
    return GraphFacts(facts, proved)


def _rounding(name: str, scales: ChannelScales, common: int, proofs: Proofs) -> tuple[FastScales | None, Rounding]:
    """The cheapest rounding that is proved for every channel."""
    for shift in dict.fromkeys((common, widest_shift(scales))):
        fast = proofs.prove(name, shift)
        if fast.proved.all():
            return fast, Rounding.UNIFORM
    fast = proofs.prove(name, None)
    return (fast, Rounding.PER_CHANNEL) if fast.proved.all() else (None, Rounding.GENERAL)
