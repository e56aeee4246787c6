"""What the planner knows of a kernel: which layers it runs, in which ways, and the numbers each way's cost grows with.

A way is one variant of one kernel for one layer: unrolled or looped, with more scratch memory or less. Its instructions
and code bytes are weighted sums of its numbers, with weights measured once per core (`core_model`). Everything here
comes from shapes and from a few facts about a layer's quantization.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from ofa_mcu.space.shapes import Activation, Operator, Shape, ShapeGraph

__all__ = ["Code", "Facts", "Flavour", "Kernel", "LayerView", "Rounding", "Way"]


class Flavour(Enum):
    """Instructions that kernels may use: C only; the DSP extension of ARMv7E-M and ARMv8-M; the M-profile vectors."""

    PORTABLE = "portable"
    DSP = "dsp"
    MVE = "mve"

    @property
    def runs(self) -> frozenset[Flavour]:
        """Flavours of kernels that such a core runs."""
        order = list(Flavour)
        return frozenset(order[: order.index(self) + 1])


class Rounding(Enum):
    """How the accumulators of a layer become codes, exactly as TFLite rounds them.

    UNIFORM: the fast form with one shift for all channels; PER_CHANNEL: the fast form with a shift for every channel;
    GENERAL: no fast form was proved, both of TFLite's roundings are carried out.
    """

    UNIFORM = "uniform"
    PER_CHANNEL = "per channel"
    GENERAL = "general"


@dataclass(frozen=True)
class Facts:
    """What a layer's quantization asks of its kernel; the defaults are assumed where only shapes are known.

    `dead_zone`: sums below zero give codes above the clamp, so that their ties round away from zero; None: there is one
    where the layer has no activation. `clamp_low`, `clamp_high`: codes are clamped more tightly than int8 does.
    `shift`: the shift of the UNIFORM rounding, else 0; layers with equal shifts can share code. `affine`: a sum of two
    tensors has a proved affine form; `tables`: it has proved tables. `wide_weights`: some weight is -128.
    `scaled_down`: TFLite shifts the sums of every channel to the right, or not at all where there is no dead zone.
    """

    rounding: Rounding = Rounding.UNIFORM
    shift: int = 13
    dead_zone: bool | None = None
    clamp_low: bool = False
    clamp_high: bool = False
    wide_weights: bool = False
    affine: bool = True
    tables: bool = True
    scaled_down: bool = True


@dataclass(frozen=True)
class LayerView:
    """One operator of a network, with what a kernel may ask about it."""

    structure: ShapeGraph
    operator: Operator
    facts: Facts = Facts()

    @property
    def source(self) -> Shape:
        """Shape of the first input."""
        return self.structure.shapes[self.operator.inputs[0]]

    @property
    def target(self) -> Shape:
        """Shape of the output."""
        return self.structure.shapes[self.operator.output]

    @property
    def dead_zone(self) -> bool:
        """Whether codes below the zero point survive."""
        if self.facts.dead_zone is not None:
            return self.facts.dead_zone
        return getattr(self.operator, "activation", Activation.NONE) is Activation.NONE

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the layer."""
        return self.structure.macs_of(self.operator)


@dataclass(frozen=True)
class Code:
    """A function that layers call; those of equal `kind` and `key` are one function.

    A generated one has a key, and its bytes are the sum of `counts` times the core's weights for `kind`. One of the
    kernel library has no key, and `kind` is its name in C.
    """

    kind: str
    key: tuple[Hashable, ...] = ()
    counts: tuple[float, ...] = (1,)


@dataclass(frozen=True)
class Way:
    """One way to run one layer.

    counts: numbers whose weighted sum is the instructions, as `features` names them.
    constant_bytes: constant data of the layer, descriptor included.
    code: functions it calls; the code of the layer's own function is counted per kernel elsewhere.
    scratch_bytes: arena memory it works in, beside its inputs and its output.
    overread: bytes past the end of its first input that it may read.
    forward_gap: the output may overlap the first input, where nobody reads that later, if the input starts at least so
    many bytes above the output's start; None: never. backward_gap: or if the output ends at least so many bytes above
    the input's end. Gaps are not negative; kernels that have both are told at run time which one holds.
    in_place: the output may start where the first input starts, whatever the gaps say.
    in_place_second: likewise for the second input of an element-wise operator.
    features: those of `Kernel.features` that `counts` has numbers for, the others being 0; empty: all of them.
    parts: of a cascade, the ways of its layers on some rows; `counts` are then of the loops around them alone.
    """

    kernel: str
    variant: str
    counts: tuple[float, ...]
    constant_bytes: int
    code: tuple[Code, ...] = ()
    scratch_bytes: int = 0
    overread: int = 0
    forward_gap: int | None = None
    backward_gap: int | None = None
    in_place: bool = False
    in_place_second: bool = False
    features: tuple[str, ...] = ()
    parts: tuple[Way, ...] = ()


@dataclass(frozen=True)
class Kernel:
    """A family of C functions of one design.

    `features` names what `Way.counts` counts; `code_terms` the numbers of each kind of `Code` it uses. `ways` gives
    the ways it can run a layer in, none where it cannot.
    """

    name: str
    flavour: Flavour
    features: tuple[str, ...]
    ways: Callable[[LayerView], tuple[Way, ...]]
    code_terms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
