"""The spaces that come with the tool, by name."""

from __future__ import annotations

from ofa_mcu.errors import UsageError
from ofa_mcu.space.space import SearchSpace, StageSpace

__all__ = ["SPACES", "space_for", "space_named"]

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

SPACES = {space.name: space for space in (FASHION_MNIST,)}


def space_named(name: str) -> SearchSpace:
    """The space called `name`.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in SPACES:
        raise UsageError(f"there is no space '{name}'; known: {', '.join(sorted(SPACES))}")
    return SPACES[name]


def space_for(task: str, shape: tuple[int, int, int], classes: int) -> SearchSpace:
    """The space to search for a task: the one made for it by hand, where there is one of this shape.

    Args:
        task: name of the task, options included.
        shape: (height, width, channels) of its inputs.
        classes: how many there are.

    Raises:
        UsageError: there is none.
    """
    space = SPACES.get(task.partition(":")[0])
    if space is not None and _serves(space, shape, classes):
        return space
    return space_named(task)


def _serves(space: SearchSpace, shape: tuple[int, int, int], classes: int) -> bool:
    return (space.input_size(max(space.resolutions)), space.input_channels, space.classes) == (
        shape[:2],
        shape[2],
        classes,
    )
