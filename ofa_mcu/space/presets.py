"""The spaces that come with the tool, by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from ofa_mcu.errors import UsageError
from ofa_mcu.space.design import designed_space
from ofa_mcu.space.space import BlockKind, SearchSpace, StageSpace

__all__ = ["PLANNING_SPACES", "SPACES", "space_for", "space_named", "space_of"]

# 28x28 greyscale: a stride-2 stem leaves 14x14, 7x7 and 4x4 maps. Kernels of 5 stop paying on the smallest map.
FASHION_MNIST = SearchSpace(
    name="fashion-mnist",
    resolutions=(20, 24, 28),
    widths=(0.5, 0.75, 1.0),
    input_channels=1,
    stem_channels=16,
    stem_kernel=3,
    stem_stride=2,
    stages=(
        StageSpace(channels=16, stride=1, depths=(1,), kernels=(3, 5), expands=(2, 3)),
        StageSpace(channels=32, stride=2, depths=(1, 2, 3), kernels=(3, 5), expands=(2, 3, 4)),
        StageSpace(channels=80, stride=2, depths=(1, 2), kernels=(3,), expands=(2, 3, 4)),
    ),
    head_channels=128,
    classes=10,
)

# 32x32 colour, 1.2 to 15.5 M MACs. The stem keeps the full map, which small photographs need; one separable block,
# which widens nothing, brings it down to 16x16, so that no tensor is larger than 32 KB. One resolution and two ratios.
CIFAR10 = SearchSpace(
    name="cifar10",
    resolutions=(32,),
    widths=(0.5, 0.75, 1.0),
    input_channels=3,
    stem_channels=24,
    stem_kernel=3,
    stem_stride=1,
    stages=(
        StageSpace(channels=32, stride=2, depths=(1,), kernels=(3,), kind=BlockKind.SEPARABLE),
        StageSpace(channels=32, stride=1, depths=(1, 2), kernels=(3,), expands=(2, 4)),
        StageSpace(channels=64, stride=2, depths=(1, 2, 3), kernels=(3, 5), expands=(2, 4)),
        StageSpace(channels=96, stride=2, depths=(1, 2), kernels=(3,), expands=(2, 4)),
    ),
    head_channels=192,
    classes=10,
)

# 49 columns of 10 cepstra. The stem is as wide as a column, so that what follows are separable convolutions in time
# (as in TC-ResNet, Choi et al. 2019, and MatchboxNet, Majumdar and Ginsburg 2020): they see further than DS-CNN
# does (Zhang et al. 2017), and their tensors are a third as large.
KEYWORDS = SearchSpace(
    name="keywords",
    resolutions=(49,),
    widths=(0.5, 0.75, 1.0, 1.5),
    input_channels=1,
    stem_channels=96,
    stem_kernel=(3, 10),
    stem_stride=(2, 10),
    stages=(StageSpace(channels=96, stride=1, depths=(3, 4, 5), kernels=(5, 9), kind=BlockKind.SEPARABLE),),
    head_channels=0,
    classes=11,
    input_width=10,
)

# Windows of 128 accelerometer samples in three axes, 0.06 to 0.39 M MACs.
GESTURES = SearchSpace(
    name="gestures",
    resolutions=(128,),
    widths=(0.5, 1.0),
    input_channels=3,
    stem_channels=16,
    stem_kernel=5,
    stem_stride=2,
    stages=(
        StageSpace(channels=16, stride=2, depths=(1,), kernels=(5,), expands=(2,)),
        StageSpace(channels=24, stride=2, depths=(1, 2), kernels=(3, 5), expands=(2, 3)),
        StageSpace(channels=40, stride=2, depths=(1, 2), kernels=(3, 5), expands=(2, 3)),
    ),
    head_channels=64,
    classes=4,
    sequence=True,
)

# MCUNet's choices (Lin et al. 2020: kernels 3 5 7, ratios 3 4 6, depths 2 3 4, resolutions 48 to 224, widths 0.2 to 1)
# on the stages of MobileNetV2 for 1,000 classes. Nobody trained it: it is there to plan with, since only in so large a
# space do 192 to 512 KB of SRAM bind.
MCUNET = SearchSpace(
    name="mcunet",
    resolutions=(48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224),
    widths=(0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    input_channels=3,
    stem_channels=32,
    stem_kernel=3,
    stem_stride=2,
    stages=(
        StageSpace(channels=16, stride=1, depths=(1,), kernels=(3,), kind=BlockKind.SEPARABLE),
        StageSpace(channels=24, stride=2, depths=(2, 3, 4), kernels=(3, 5, 7), expands=(3, 4, 6)),
        StageSpace(channels=40, stride=2, depths=(2, 3, 4), kernels=(3, 5, 7), expands=(3, 4, 6)),
        StageSpace(channels=80, stride=2, depths=(2, 3, 4), kernels=(3, 5, 7), expands=(3, 4, 6)),
        StageSpace(channels=96, stride=1, depths=(2, 3, 4), kernels=(3, 5, 7), expands=(3, 4, 6)),
        StageSpace(channels=192, stride=2, depths=(2, 3, 4), kernels=(3, 5, 7), expands=(3, 4, 6)),
        StageSpace(channels=320, stride=1, depths=(1,), kernels=(3, 5, 7), expands=(3, 4, 6)),
    ),
    head_channels=0,
    classes=1000,
)

SPACES = {space.name: space for space in (FASHION_MNIST, CIFAR10, KEYWORDS, GESTURES)}


PLANNING_SPACES = {MCUNET.name: MCUNET}
"""Spaces without a task, for `ofa-mcu space`."""


def space_named(name: str) -> SearchSpace:
    """The space called `name`.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in SPACES:
        raise UsageError(f"there is no space '{name}'; known: {', '.join(sorted(SPACES))}")
    return SPACES[name]


def space_for(task: str, shape: tuple[int, int, int], classes: int) -> SearchSpace:
    """The space to search for a task: the one that comes with the tool, else one designed for the shape.

    Args:
        task: the task as written, options included; its name alone counts.
        shape: (height, width, channels) of its inputs.
        classes: how many there are.

    Raises:
        UsageError: the inputs are too small for a network, or there are fewer than two classes.
    """
    space = SPACES.get(task.partition(":")[0])
    if space is None or (space.input_size(max(space.resolutions)), space.input_channels) != (shape[:2], shape[2]):
        return designed_space(task, shape, classes)
    return space if space.classes == classes else replace(space, classes=classes)


def space_of(task: str, shape: tuple[int, int, int], classes: int, path: Path | None = None) -> SearchSpace:
    """The space in a file that `ofa-mcu space` wrote, or without one `space_for` the task.

    Raises:
        UsageError: the file holds no space, or one for other inputs or classes than the task's.
    """
    if path is None:
        return space_for(task, shape, classes)
    try:
        space = SearchSpace.from_json(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} holds no space ({error}); ofa-mcu space writes one") from error
    serves = space.input_size(max(space.resolutions)), space.input_channels, space.classes
    if serves != (shape[:2], shape[2], classes):
        (height, width), channels, known = serves
        raise UsageError(
            f"the space in {path} is for inputs {height}x{width}x{channels} in {known} classes, and task '{task}' has "
            f"{shape[0]}x{shape[1]}x{shape[2]} in {classes}; make one with: ofa-mcu space --task {task}"
        )
    return space
