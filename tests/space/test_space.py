"""Search spaces: exact size, membership, fair sampling."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ofa_mcu.errors import UsageError
from ofa_mcu.space.presets import FASHION_MNIST, SPACES, space_named
from ofa_mcu.space.space import SearchSpace, scaled_channels
from ofa_mcu.space.subnet import BlockChoice, Subnet
from tests.space.spaces import SEQUENCE, SPECTRUM, TINY, spaces


@pytest.mark.parametrize("space", [TINY, SEQUENCE, SPECTRUM, FASHION_MNIST], ids=lambda space: space.name)
def test_size_is_the_number_of_distinct_subnets(space: SearchSpace) -> None:
    assert len(set(space)) == space.size


def test_the_preset_is_as_large_as_by_hand() -> None:
    """3 resolutions, 3 widths, 4 first stages, 6 + 36 + 216 second ones, 3 + 9 third ones."""
    assert FASHION_MNIST.size == 3 * 3 * 4 * (6 + 36 + 216) * (3 + 9) == 111_456


@given(spaces())
@settings(max_examples=50)
def test_size_equals_enumeration_of_any_space(space: SearchSpace) -> None:
    assume(space.size < 5000)
    every = list(space)
    assert len(every) == len(set(every)) == space.size
    for subnet in every[:: max(1, len(every) // 20)]:
        space.validate(subnet)
    assert {space.largest, space.smallest} <= set(every)


@given(spaces())
def test_json_gives_the_same_space_back(space: SearchSpace) -> None:
    assert SearchSpace.from_json(json.loads(json.dumps(space.to_json()))) == space


def test_json_of_spaces_written_before_there_were_widths_and_kinds_still_loads() -> None:
    """As it lies in supernet files: the fields of then, in their order; and such a space is still written so."""
    old = {
        "name": "tiny",
        "resolutions": [8, 12],
        "widths": [0.5, 1.0],
        "input_channels": 1,
        "stem_channels": 8,
        "stem_kernel": 3,
        "stem_stride": 2,
        "stages": [
            {"channels": 8, "stride": 1, "depths": [1, 2], "kernels": [3, 5], "expands": [2, 3]},
            {"channels": 16, "stride": 2, "depths": [1, 2], "kernels": [3], "expands": [2, 4]},
        ],
        "head_channels": 24,
        "classes": 4,
    }
    assert SearchSpace.from_json(old) == TINY
    assert json.dumps(TINY.to_json()) == json.dumps(old)


def test_corners_take_the_extreme_of_every_choice() -> None:
    assert str(FASHION_MNIST.largest) == "r28-w1-k5e3-k5e4.k5e4.k5e4-k3e4.k3e4"
    assert str(FASHION_MNIST.smallest) == "r20-w0.5-k3e2-k3e2-k3e2"


STAGES = TINY.smallest.stages


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"resolution": 9}, "resolution 9 is none of (8, 12)"),
        ({"width": 0.75}, "width 0.75 is none of (0.5, 1.0)"),
        ({"stages": STAGES[:1]}, "it has 1 stages where the space has 2"),
        ({"stages": (STAGES[0], STAGES[1] * 3)}, "depth 3 of stage 1 is none of (1, 2)"),
        ({"stages": (STAGES[0], (BlockChoice(5, 2),))}, "block k5e2 of stage 1 is no choice there"),
        ({"stages": ((BlockChoice(3, 4),), STAGES[1])}, "block k3e4 of stage 0 is no choice there"),
    ],
)
def test_validate_names_the_wrong_choice(change: dict[str, Any], complaint: str) -> None:
    TINY.validate(TINY.smallest)
    with pytest.raises(UsageError) as caught:
        TINY.validate(dataclasses.replace(TINY.smallest, **change))
    assert complaint in str(caught.value) and "space tiny" in str(caught.value)


def counts_of(subnets: list[Subnet], space: SearchSpace) -> list[Counter]:
    """How often each value of each choice appears that every subnet makes: the first block is always there."""
    found: list[Counter] = [Counter(s.resolution for s in subnets), Counter(s.width for s in subnets)]
    for index in range(len(space.stages)):
        found.append(Counter(len(s.stages[index]) for s in subnets))
        found.append(Counter(s.stages[index][0].kernel for s in subnets))
        found.append(Counter(s.stages[index][0].expand for s in subnets))
    return found


def options_of(space: SearchSpace) -> list[tuple]:
    found: list[tuple] = [space.resolutions, space.widths]
    for stage in space.stages:
        found += [stage.depths, stage.kernels, stage.expands]
    return found


@given(st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_a_balanced_sample_uses_every_value_equally_often(count: int, seed: int) -> None:
    subnets = FASHION_MNIST.sample_balanced(np.random.default_rng(seed), count)
    assert len(subnets) == count
    for subnet in subnets:
        FASHION_MNIST.validate(subnet)
    for options, found in zip(options_of(FASHION_MNIST), counts_of(subnets, FASHION_MNIST), strict=True):
        per_value = [found[option] for option in options]
        assert max(per_value) - min(per_value) <= 1 and sum(per_value) == count


def test_choices_are_drawn_independently_of_each_other() -> None:
    """Of 10,000 single draws every one of TINY's 480 subnets gets what its choices' chances multiply to."""
    rng = np.random.default_rng(0)
    seen = Counter(TINY.sample(rng) for _ in range(10_000))
    assert len(seen) == TINY.size
    expected = {}
    for subnet in TINY:
        chance = Fraction(1, len(TINY.resolutions) * len(TINY.widths))
        for blocks, stage in zip(subnet.stages, TINY.stages, strict=True):
            chance *= Fraction(1, len(stage.depths) * stage.choices_per_block ** len(blocks))
        expected[subnet] = float(10_000 * chance)
    assert sum(expected.values()) == pytest.approx(10_000)
    chi_square = sum((seen[subnet] - mean) ** 2 / mean for subnet, mean in expected.items())
    # 479 degrees of freedom: mean 479, deviation 31
    assert 479 - 5 * 31 < chi_square < 479 + 5 * 31


def test_the_same_seed_gives_the_same_sample() -> None:
    samples = [FASHION_MNIST.sample_balanced(np.random.default_rng(7), 30) for _ in range(2)]
    assert samples[0] == samples[1]
    assert samples[0] != FASHION_MNIST.sample_balanced(np.random.default_rng(8), 30)
    json.dumps([subnet.to_json() for subnet in samples[0]])  # nothing of numpy's in it


@pytest.mark.parametrize(
    ("channels", "width", "expected"),
    [(16, 1.0, 16), (16, 0.75, 12), (16, 0.5, 8), (32, 0.75, 24), (80, 0.75, 60), (128, 0.5, 64), (16, 0.1, 4)],
)
def test_scaled_channels_by_hand(channels: int, width: float, expected: int) -> None:
    assert scaled_channels(channels, width) == expected


@given(st.integers(1, 512), st.floats(0.01, 2.0))
def test_scaled_channels_is_the_nearest_multiple_of_four(channels: int, width: float) -> None:
    found = scaled_channels(channels, width)
    assert found % 4 == 0 and found >= 4
    assert found == 4 or abs(found - channels * width) <= 2 + 1e-9


@given(st.integers(1, 512), st.floats(0.01, 2.0), st.floats(0.01, 2.0))
def test_more_width_is_never_fewer_channels(channels: int, first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert scaled_channels(channels, low) <= scaled_channels(channels, high)


def test_spaces_are_known_by_name() -> None:
    assert all(space_named(name) is space and space.name == name for name, space in SPACES.items())
    with pytest.raises(UsageError, match="there is no space 'mnist'; known: .*fashion-mnist"):
        space_named("mnist")
