"""Spaces made for a shape: whole networks of sensible size for every input that a task may have."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa_mcu.errors import UsageError
from ofa_mcu.space.design import designed_space
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import CIFAR10, FASHION_MNIST, KEYWORDS, SPACES, space_for
from ofa_mcu.space.space import SearchSpace


def last_map(space: SearchSpace) -> tuple[int, ...]:
    """Height and width of what the mean is taken over, in the largest network."""
    graph = shape_graph(space, space.largest)
    (pool,) = [op for op in graph.operators if op.name == "pool"]
    return graph.shapes[pool.inputs[0]][1:3]


@given(st.integers(4, 224), st.sampled_from((1, 3)), st.integers(2, 1000))
def test_images_end_in_a_small_map(side: int, channels: int, classes: int) -> None:
    space = designed_space("photos", (side, side, channels), classes)
    largest, smallest = (shape_graph(space, subnet) for subnet in (space.largest, space.smallest))
    assert largest.shapes["input"] == (1, side, side, channels) and largest.shapes["logits"] == (1, classes)
    assert 2 <= min(last_map(space)) <= max(last_map(space)) <= 8
    assert smallest.macs * 4 < largest.macs < 8.5e6 + 2_000 * side**2 + 256 * classes
    assert largest.parameters < 350_000 + 257 * classes
    assert max(space.resolutions) == side and min(space.resolutions) >= side / 2


@given(st.integers(4, 20_000), st.integers(1, 12), st.integers(2, 50))
def test_sequences_are_shortened_by_stem_and_stages(steps: int, channels: int, classes: int) -> None:
    space = designed_space("sensors", (1, steps, channels), classes)
    graph = shape_graph(space, space.largest)
    assert graph.shapes["input"] == (1, 1, steps, channels) and space.sequence
    height, width = last_map(space)
    assert height == 1 and (3 <= width <= 12 or (steps > 1024 and width == math.ceil(steps / 128)))
    assert shape_graph(space, space.smallest).macs * 3 < graph.macs


@given(st.integers(17, 400), st.integers(2, 16))
def test_spectra_keep_their_width(steps: int, width: int) -> None:
    space = designed_space("sounds", (steps, width, 1), 5)
    assert space.sizes == ((steps, width),)
    assert shape_graph(space, space.largest).shapes["input"] == (1, steps, width, 1)


def test_presets_serve_their_shape_and_any_number_of_classes() -> None:
    assert space_for("cifar10", (32, 32, 3), 10) is CIFAR10
    assert space_for("keywords:anything=1", (49, 10, 1), 11) is KEYWORDS
    twelve = space_for("keywords", (49, 10, 1), 12)
    assert twelve.classes == 12 and twelve.stages == KEYWORDS.stages
    other = space_for("fashion-mnist", (32, 32, 1), 10)
    assert other != FASHION_MNIST and other.sizes == ((32, 32),) and other.name == "fashion-mnist"


@pytest.mark.parametrize(
    ("shape", "classes", "complaint"),
    [
        ((28, 28, 1), 1, "has 1 class; a network needs two"),
        ((3, 3, 1), 2, "are too small"),
        ((48, 64, 1), 2, "neither square nor a sequence"),
    ],
)
def test_what_no_network_fits_is_refused(shape: tuple[int, int, int], classes: int, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        designed_space("t", shape, classes)


@pytest.mark.parametrize(
    ("name", "below", "above"),
    [("cifar10", 1.5e6, 12.5e6), ("keywords", 0.8e6, 2.7e6), ("gestures", 0.1e6, 0.3e6)],
)
def test_presets_reach_from_below_the_smallest_to_above_the_largest_target(
    name: str, below: float, above: float
) -> None:
    space = SPACES[name]
    assert shape_graph(space, space.smallest).macs < below
    assert above < shape_graph(space, space.largest).macs < 1.3 * above
    assert shape_graph(space, space.largest).parameters * 2 < 1_500_000  # half precision, to be shipped
