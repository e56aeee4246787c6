"""Fixed spaces whose networks spend their time in different kernels, independent of those that come with the tool."""

from __future__ import annotations

from ofa_mcu.space.space import BlockKind, SearchSpace, StageSpace

__all__ = ["MIXES"]

_POINTWISE = SearchSpace(
    name="pointwise",
    resolutions=(20, 28),
    widths=(0.5, 1.0),
    input_channels=1,
    stem_channels=16,
    stem_kernel=3,
    stem_stride=2,
    stages=(
        StageSpace(channels=16, stride=1, depths=(1, 2), kernels=(3,), expands=(2, 4)),
        StageSpace(channels=48, stride=2, depths=(1, 2, 3), kernels=(3,), expands=(4, 6)),
    ),
    head_channels=96,
    classes=10,
)

_CONVOLUTION = SearchSpace(
    name="convolution",
    resolutions=(32, 49),
    widths=(0.5, 1.0),
    input_channels=3,
    stem_channels=64,
    stem_kernel=(10, 4),
    stem_stride=(2, 2),
    stages=(StageSpace(channels=64, stride=1, depths=(1, 2, 3), kernels=(3, 5), kind=BlockKind.SEPARABLE),),
    head_channels=0,
    classes=10,
    input_width=10,
)

_DEPTHWISE = SearchSpace(
    name="depthwise",
    resolutions=(24, 32),
    widths=(0.5, 1.0),
    input_channels=1,
    stem_channels=16,
    stem_kernel=3,
    stem_stride=2,
    stages=(
        StageSpace(channels=16, stride=1, depths=(1, 2), kernels=(5, 7), kind=BlockKind.SEPARABLE),
        StageSpace(channels=32, stride=2, depths=(1, 2, 3), kernels=(5, 7), kind=BlockKind.SEPARABLE),
    ),
    head_channels=0,
    classes=10,
)

MIXES = (_POINTWISE, _CONVOLUTION, _DEPTHWISE)
"""Each is called by the kernel that does most of the work in most of its networks: one factor cannot serve them all."""
