"""Sums, differences and products of two tensors; functions of one code by table; softmax; float borders."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from ofa_mcu.planning.kernels.base import Code, Flavour, Kernel, LayerView, Way
from ofa_mcu.planning.kernels.elementwise_loops import broadcast_loops
from ofa_mcu.space.shapes import (
    Add,
    Dequantize,
    HardSwish,
    Logistic,
    Mul,
    Quantize,
    Relu,
    Relu6,
    Softmax,
    Sub,
)

__all__ = ["ELEMENTWISE_KERNELS", "library", "padded"]

_AFFINE_BYTES, _LOOKUP_BYTES, _ADD_BYTES, _ADD_BROADCASTING_BYTES, _MUL_BYTES, _SOFTMAX_BYTES = 28, 24, 24, 76, 60, 12
_LOOKUP_TABLES = 2 * 1024 + 1024


def library(function: str) -> tuple[Code, ...]:
    """One function of the kernel library."""
    return (Code(function),)


def padded(size: int) -> int:
    """Bytes of an array of so many bytes among others."""
    return -(-size // 4) * 4


def _constants(view: LayerView) -> int:
    """Bytes of the inputs that are constant."""
    structure = view.structure
    return sum(padded(structure.bytes_of(name)) for name in view.operator.inputs if name in structure.constants)


def _gaps(view: LayerView) -> tuple[int | None, bool]:
    """Whether the output may lie over either input: over one of its shape, the second only beside a first."""
    shapes, constants = view.structure.shapes, view.structure.constants
    size = prod(view.target)
    first, second = (name not in constants and prod(shapes[name]) == size for name in view.operator.inputs)
    return (0 if first else None), second and view.operator.inputs[0] not in constants


def _sum_is_plain(view: LayerView) -> bool:
    """Whether no input broadcasts and none is constant."""
    size = prod(view.target)
    shapes, constants = view.structure.shapes, view.structure.constants
    return all(prod(shapes[name]) == size and name not in constants for name in view.operator.inputs)


def _steps(count: int, *sizes: int) -> tuple[int, ...]:
    """How often loops of these steps turn, one after the other, for so many elements."""
    result = []
    for size in sizes:
        turns, count = divmod(count, size)
        result.append(turns)
    return tuple(result)


def _signed(view: LayerView) -> list[str]:
    """The word for sums with a dead zone, where there is one."""
    return ["signed"] if view.facts.dead_zone else []


def _affine_way(view: LayerView, kernel: str, sizes: tuple[int, ...]) -> tuple[Way, ...]:
    if not isinstance(view.operator, Add | Sub) or not view.facts.affine or not _sum_is_plain(view):
        return ()
    clamped = view.facts.clamp_low or view.facts.clamp_high
    words = _signed(view) + (["clamped"] if clamped else [])
    count = prod(view.target)
    forward, second = _gaps(view)
    return (
        Way(
            kernel=kernel,
            variant=" ".join(words),
            counts=(1, *_steps(count, *sizes), count if clamped else 0, count if _signed(view) else 0),
            constant_bytes=_AFFINE_BYTES,
            code=library("_".join([kernel, *words])),
            forward_gap=forward,
            in_place_second=second,
        ),
    )


def _dsp_add(view: LayerView) -> tuple[Way, ...]:
    return _affine_way(view, "ofa_dsp_add", (16, 4, 1))


def _add_affine(view: LayerView) -> tuple[Way, ...]:
    return _affine_way(view, "ofa_add_affine", (4, 1))


def _add_lookup(view: LayerView) -> tuple[Way, ...]:
    if not isinstance(view.operator, Add | Sub) or not view.facts.tables or not _sum_is_plain(view):
        return ()
    forward, second = _gaps(view)
    return (
        Way(
            kernel="ofa_add_lookup",
            variant=" ".join(_signed(view)),
            counts=(1, *_steps(prod(view.target), 4, 1), prod(view.target) if _signed(view) else 0),
            constant_bytes=_LOOKUP_BYTES + _LOOKUP_TABLES,
            code=library("_".join(["ofa_add_lookup", *_signed(view)])),
            forward_gap=forward,
            in_place_second=second,
        ),
    )


def _add(view: LayerView) -> tuple[Way, ...]:
    if not isinstance(view.operator, Add) or not _sum_is_plain(view):
        return ()
    forward, second = _gaps(view)
    return (
        Way(
            kernel="ofa_add",
            variant="",
            counts=(1, prod(view.target)),
            constant_bytes=_ADD_BYTES,
            code=library("ofa_add"),
            forward_gap=forward,
            in_place_second=second,
        ),
    )


def _broadcasting(view: LayerView, kernel: str, constant_bytes: int) -> tuple[Way, ...]:
    shapes = view.structure.shapes
    first, second = (shapes[name] for name in view.operator.inputs)
    loops = broadcast_loops(first, second, view.target)
    if loops is None:
        return ()
    outer, middle, inner, _ = loops.counts
    forward, in_place_second = _gaps(view)
    return (
        Way(
            kernel=kernel,
            variant="",
            counts=(1, outer, outer * middle, outer * middle * inner, prod(view.target)),
            constant_bytes=constant_bytes + _constants(view),
            code=library(kernel),
            forward_gap=forward,
            in_place_second=in_place_second,
        ),
    )


def _add_broadcasting(view: LayerView) -> tuple[Way, ...]:
    if not isinstance(view.operator, Add | Sub) or (isinstance(view.operator, Add) and _sum_is_plain(view)):
        return ()
    return _broadcasting(view, "ofa_add_broadcasting", _ADD_BROADCASTING_BYTES)


def _mul(view: LayerView) -> tuple[Way, ...]:
    return _broadcasting(view, "ofa_mul", _MUL_BYTES) if isinstance(view.operator, Mul) else ()


def _table(view: LayerView) -> tuple[Way, ...]:
    operator = view.operator
    if not isinstance(operator, Logistic | HardSwish | Relu | Relu6 | Quantize):
        return ()
    if operator.inputs[0] in view.structure.floats:
        return ()
    counts = (1, *_steps(prod(view.target), 4, 1))
    return (Way("ofa_table", "", counts, 256, library("ofa_table"), forward_gap=0),)


def _softmax(view: LayerView) -> tuple[Way, ...]:
    if not isinstance(view.operator, Softmax):
        return ()
    counts = (1, prod(view.target[:-1]), prod(view.target))
    return (Way("ofa_softmax", "", counts, 1024 + _SOFTMAX_BYTES, library("ofa_softmax"), forward_gap=0),)


def _quantize(view: LayerView) -> tuple[Way, ...]:
    operator = view.operator
    if not isinstance(operator, Quantize) or operator.inputs[0] not in view.structure.floats:
        return ()
    return (Way("ofa_quantize", "", (1, prod(view.target)), 0, library("ofa_quantize"), forward_gap=0),)


def _dequantize(view: LayerView) -> tuple[Way, ...]:
    if not isinstance(view.operator, Dequantize):
        return ()
    # Value i, four bytes, may reach the codes up to i.
    gap = max(3 * (prod(view.target) - 1), 0)
    return (Way("ofa_dequantize", "", (1, prod(view.target)), 0, library("ofa_dequantize"), forward_gap=gap),)


_FUNCTION = ("functions",)
_AFFINE_KINDS = ("", "_clamped", "_signed", "_signed_clamped")
_BROADCAST_FEATURES = ("calls", "outer", "planes", "runs", "elements")


def _portable(
    name: str, features: tuple[str, ...], ways: Callable[[LayerView], tuple[Way, ...]], *functions: str
) -> Kernel:
    return Kernel(name, Flavour.PORTABLE, features, ways, dict.fromkeys(functions or (name,), _FUNCTION))


ELEMENTWISE_KERNELS: tuple[Kernel, ...] = (
    Kernel(
        "ofa_dsp_add",
        Flavour.DSP,
        ("calls", "sixteens", "fours", "ones", "clamped_elements", "signed_elements"),
        _dsp_add,
        {f"ofa_dsp_add{kind}": _FUNCTION for kind in _AFFINE_KINDS},
    ),
    _portable(
        "ofa_add_affine",
        ("calls", "fours", "ones", "clamped_elements", "signed_elements"),
        _add_affine,
        *(f"ofa_add_affine{kind}" for kind in _AFFINE_KINDS),
    ),
    _portable(
        "ofa_add_lookup",
        ("calls", "fours", "ones", "signed_elements"),
        _add_lookup,
        "ofa_add_lookup",
        "ofa_add_lookup_signed",
    ),
    _portable("ofa_add", ("calls", "elements"), _add),
    _portable("ofa_add_broadcasting", _BROADCAST_FEATURES, _add_broadcasting),
    _portable("ofa_mul", _BROADCAST_FEATURES, _mul),
    _portable("ofa_table", ("calls", "fours", "ones"), _table),
    _portable("ofa_softmax", ("calls", "rows", "codes"), _softmax),
    _portable("ofa_quantize", ("calls", "elements"), _quantize),
    _portable("ofa_dequantize", ("calls", "elements"), _dequantize),
)
"""What computes codes one by one, or row by row."""
