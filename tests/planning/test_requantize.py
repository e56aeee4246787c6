"""The fast requantization against TFLite's, accumulator by accumulator."""

from __future__ import annotations

import numpy as np
import pytest

from ofa_mcu.graph.arithmetic import quantize_multiplier
from ofa_mcu.planning.requantize import PRESCALE, ChannelScales, FastScales, own_shifts, prove, widest_shift

CHANNELS = 96


def random_scales(rng: np.random.Generator, spread: float, kind: str, reach: int) -> ChannelScales:
    factor = 60 / reach * np.exp(spread * rng.standard_normal(CHANNELS))
    multiplier, shift = quantize_multiplier(factor)
    zero_point = -128 if kind == "relu" else int(rng.integers(-120, 60))
    return ChannelScales(
        multiplier=multiplier.astype(np.int64),
        shift=shift.astype(np.int64),
        lowest=-rng.integers(reach, 3 * reach, CHANNELS),
        highest=rng.integers(reach, 3 * reach, CHANNELS),
        zero_point=zero_point,
        clamp_min=zero_point if kind == "clamped" else -128,
        clamp_max=zero_point + 60 if kind == "clamped" else 127,
    )


def fast_codes(scales: ChannelScales, fast: FastScales, accumulators: np.ndarray) -> np.ndarray:
    """What the instructions compute, wrapping where a register does."""
    nudge = fast.offset - np.where(accumulators < 0, fast.dead_zone, 0)
    scaled = ((accumulators << PRESCALE).astype(np.int32).astype(np.int64) * fast.multiplier >> 32) + nudge
    return np.clip(np.clip(scaled.astype(np.int32) >> fast.shift, -128, 127), scales.clamp_min, scales.clamp_max)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("kind", ["relu", "linear", "clamped"])
@pytest.mark.parametrize("reach", [20, 60, 900, 20_000, 900_000, 7_000_000 // 3])
@pytest.mark.parametrize("spread", [0.0, 0.5, 2.0])
def test_proved_channels_are_exact(per_channel: bool, kind: str, reach: int, spread: float) -> None:
    rng = np.random.default_rng(reach)
    scales = random_scales(rng, spread, kind, reach)
    fast = prove(scales, own_shifts(scales) if per_channel else widest_shift(scales))
    assert fast.per_channel is per_channel
    share = rng.random((20_000, CHANNELS))
    accumulators = scales.lowest + np.floor(share * (scales.highest - scales.lowest + 1)).astype(np.int64)
    accumulators[:2] = scales.lowest, scales.highest
    accumulators[2:1026] = np.clip(np.arange(-512, 512)[:, None], scales.lowest, scales.highest)
    wanted = np.clip(scales.codes(accumulators), scales.clamp_min, scales.clamp_max)
    same = (fast_codes(scales, fast, accumulators) == wanted).all(axis=0)
    assert same[fast.proved].all()
    if reach <= 900_000 and (spread <= 0.5 or (per_channel and reach >= 900)):
        assert fast.proved.all()


def test_channels_out_of_reach_are_not_proved() -> None:
    multiplier, shift = quantize_multiplier(np.array([0.01, 0.01, 0.02, 0.01]))
    limit = 1 << 23
    scales = ChannelScales(
        multiplier=multiplier.astype(np.int64),
        shift=shift.astype(np.int64),
        lowest=np.array([-1000, -limit, -10, 5]),
        highest=np.array([1000, 1000, 10, 5]),
        zero_point=-128,
    )
    fast = prove(scales, widest_shift(scales))
    assert fast.proved[[0, 1, 3]].tolist() == [True, False, True]
    above = np.array([limit])
    far = ChannelScales(multiplier[:1].astype(np.int64), shift[:1].astype(np.int64), above, above, -128)
    assert prove(far, 9).proved.all()  # one code, whatever the input
    assert fast.multiplier[3] == 0
