"""Spaces small enough to enumerate, with every kind of choice in them."""

from __future__ import annotations

from hypothesis import strategies as st

from ofa_mcu.space.space import BlockKind, SearchSpace, StageSpace

__all__ = ["SEQUENCE", "SPECTRUM", "TINY", "spaces"]

TINY = SearchSpace(
    name="tiny",
    resolutions=(8, 12),
    widths=(0.5, 1.0),
    input_channels=1,
    stem_channels=8,
    stem_kernel=3,
    stem_stride=2,
    stages=(
        StageSpace(channels=8, stride=1, depths=(1, 2), kernels=(3, 5), expands=(2, 3)),
        StageSpace(channels=16, stride=2, depths=(1, 2), kernels=(3,), expands=(2, 4)),
    ),
    head_channels=24,
    classes=4,
)

SEQUENCE = SearchSpace(
    name="sequence",
    resolutions=(24, 32),
    widths=(1.0,),
    input_channels=3,
    stem_channels=8,
    stem_kernel=5,
    stem_stride=2,
    stages=(
        StageSpace(channels=8, stride=1, depths=(1, 2), kernels=(3, 7), expands=(2, 3)),
        StageSpace(channels=16, stride=2, depths=(1, 2), kernels=(3, 5), kind=BlockKind.SEPARABLE),
    ),
    head_channels=24,
    classes=4,
    sequence=True,
)
"""One row, both kinds of blocks."""

SPECTRUM = SearchSpace(
    name="spectrum",
    resolutions=(13, 17),
    widths=(0.5, 0.75, 1.0),
    input_channels=1,
    stem_channels=16,
    stem_kernel=(6, 4),
    stem_stride=(2, 2),
    stages=(
        StageSpace(channels=16, stride=1, depths=(1, 2, 3), kernels=(3, 5), kind=BlockKind.SEPARABLE),
        StageSpace(channels=32, stride=2, depths=(1, 2), kernels=(3,), kind=BlockKind.SEPARABLE),
    ),
    head_channels=0,
    classes=5,
    input_width=6,
)
"""Inputs of a fixed width, separable blocks alone, no head."""


def _options(values: st.SearchStrategy, most: int) -> st.SearchStrategy:
    return st.lists(values, min_size=1, max_size=most, unique=True).map(lambda found: tuple(sorted(found)))


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    """A small random space: squares, fixed widths or sequences, either kind of block in any stage."""
    sequence = draw(st.booleans())
    common = {
        "channels": st.integers(1, 24),
        "stride": st.integers(1, 2),
        "depths": _options(st.integers(1, 3), 2),
        "kernels": _options(st.sampled_from((1, 3, 5, 7)), 2),
    }
    stage = st.builds(StageSpace, expands=_options(st.integers(1, 6), 2), **common) | st.builds(
        StageSpace, kind=st.just(BlockKind.SEPARABLE), **common
    )
    pair = st.tuples(st.integers(1, 5), st.integers(1, 4))
    return SearchSpace(
        name="drawn",
        resolutions=draw(_options(st.integers(1, 40), 2)),
        widths=draw(_options(st.floats(0.01, 4.0), 2)),
        input_channels=draw(st.integers(1, 3)),
        stem_channels=draw(st.integers(1, 24)),
        stem_kernel=draw(st.sampled_from((1, 3, 5)) | pair),
        stem_stride=draw(st.integers(1, 3) | pair),
        stages=tuple(draw(st.lists(stage, min_size=1, max_size=2))),
        head_channels=draw(st.integers(0, 40)),
        classes=draw(st.integers(2, 10)),
        input_width=None if sequence else draw(st.none() | st.integers(1, 12)),
        sequence=sequence,
    )
