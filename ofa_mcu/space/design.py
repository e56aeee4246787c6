"""A lean space for inputs of any shape: how deep and how wide follows from their size."""

from __future__ import annotations

import math

from ofa_mcu.errors import UsageError
from ofa_mcu.space.space import BlockKind, SearchSpace, StageSpace

__all__ = ["designed_space"]

_LEAST = 4  # extent of an input along its longer side
_LAST_MAP = 4  # about the side of the last map of an image
_LAST_STEPS = 8  # about the steps left of a sequence
_IMAGE_CHANNELS = (24, 40, 64, 96, 128)
_SEQUENCE_CHANNELS = (16, 24, 40, 56, 72)
_NARROW = 16  # columns of what is a spectrum rather than an image
_TWO_RESOLUTIONS = 40


def designed_space(name: str, shape: tuple[int, int, int], classes: int) -> SearchSpace:
    """A space for inputs (height, width, channels): a row is a sequence, a narrow one a spectrum, a square an image.

    Few choices of each kind, since every one of them takes accuracy from a small supernet.

    Raises:
        UsageError: the inputs are too small or of another shape, or there are fewer than two classes.
    """
    height, width, channels = shape
    if classes < 2:
        raise UsageError(f"task '{name}' has {classes} class; a network needs two or more to tell apart")
    if max(height, width) < _LEAST:
        raise UsageError(f"inputs {height}x{width} of task '{name}' are too small: give {_LEAST} or more along a side")
    if height == 1:
        return _sequence(name, width, channels, classes)
    if height == width:
        return _image(name, height, channels, classes)
    if width <= _NARROW:
        return _spectrum(name, shape, classes)
    raise UsageError(
        f"inputs {height}x{width} of task '{name}' are neither square nor a sequence; crop them to squares"
    )


def _halvings(extent: int, last: int) -> int:
    """How often an extent is halved to come near `last`."""
    return max(0, round(math.log2(extent / last)))


def _image(name: str, side: int, channels: int, classes: int) -> SearchSpace:
    """The stem halves all but small images; a separable block, which widens nothing, halves those from 90 on again."""
    halvings = _halvings(side, _LAST_MAP)
    stem = 2 if halvings >= 2 else 1
    left = halvings - (stem == 2)
    stages, used = [], iter(_IMAGE_CHANNELS)
    if left >= 4:
        stages.append(StageSpace(channels=next(used), stride=2, depths=(1,), kernels=(3,), kind=BlockKind.SEPARABLE))
        left -= 1
    count = 3 if halvings >= 3 else 2
    for index in range(count):
        stages.append(
            StageSpace(
                channels=next(used),
                stride=2 if index >= count - left else 1,
                depths=(1, 2),
                kernels=(3, 5) if index == count - 2 else (3,),  # the last map is too small for 5 to pay
                expands=(2, 4),
            )
        )
    smaller = round(0.75 * side / 8) * 8
    return SearchSpace(
        name=name,
        resolutions=(smaller, side) if side >= _TWO_RESOLUTIONS else (side,),
        widths=(0.5, 1.0),
        input_channels=channels,
        stem_channels=16,
        stem_kernel=3,
        stem_stride=stem,
        stages=tuple(stages),
        head_channels=2 * stages[-1].channels,
        classes=classes,
    )


def _sequence(name: str, steps: int, channels: int, classes: int) -> SearchSpace:
    """A long sequence is quartered by the stem; every stage halves it."""
    halvings = _halvings(steps, _LAST_STEPS)
    stem = min(4, 2 ** max(0, halvings - 3)) if halvings > 3 else 2 if halvings else 1
    left = halvings - round(math.log2(stem))
    count = max(2, min(left, len(_SEQUENCE_CHANNELS)))
    stages = tuple(
        StageSpace(
            channels=_SEQUENCE_CHANNELS[index],
            stride=2 if index >= count - left else 1,
            depths=(1, 2) if index else (1,),
            kernels=(3, 5) if index else (5,),
            expands=(2, 3) if index else (2,),
        )
        for index in range(count)
    )
    return SearchSpace(
        name=name,
        resolutions=(steps,),
        widths=(0.5, 1.0),
        input_channels=channels,
        stem_channels=16,
        stem_kernel=2 * stem + 1,
        stem_stride=stem,
        stages=stages,
        head_channels=64,
        classes=classes,
        sequence=True,
    )


def _spectrum(name: str, shape: tuple[int, int, int], classes: int) -> SearchSpace:
    """DS-CNN's stem and blocks (Zhang et al. 2017); long recordings lose half their columns once more."""
    height, width, channels = shape
    stages = [StageSpace(channels=64, stride=1, depths=(2, 3), kernels=(3, 5), kind=BlockKind.SEPARABLE)]
    if height > 2 * _NARROW:
        stride = 2 if height > 6 * _NARROW else 1
        stages.append(StageSpace(channels=64, stride=stride, depths=(1, 2), kernels=(3,), kind=BlockKind.SEPARABLE))
    return SearchSpace(
        name=name,
        resolutions=(height,),
        widths=(0.5, 1.0),
        input_channels=channels,
        stem_channels=64,
        stem_kernel=(10 if height > 2 * _NARROW else 5, min(4, width)),
        stem_stride=(2, 2 if width > 4 else 1),
        stages=tuple(stages),
        head_channels=0,
        classes=classes,
        input_width=width,
    )
