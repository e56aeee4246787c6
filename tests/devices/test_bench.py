from __future__ import annotations

import numpy as np
import pytest

from ofa_mcu.devices.bench import Counts, measure
from ofa_mcu.devices.emulator import RunningEmulator
from ofa_mcu.devices.link import Link
from ofa_mcu.errors import DeviceError, UsageError
from tests.devices import tiny
from tests.devices.fixtures import Images

TWIN = tiny.TWINS["m7"]


def test_counts() -> None:
    counts = Counts((5, 1, 9, 7))
    assert (counts.minimum, counts.median, counts.maximum) == (1, 5, 9)


@pytest.mark.slow
def test_a_series_in_the_emulator(image: Images) -> None:
    data = tiny.inputs(6)
    data[:, 0] = [0, 20, 40, 60, 80, 100]
    expected = tiny.outputs(data)
    expected[2, 7] ^= 1
    steps: list[tuple[int, int]] = []
    with RunningEmulator(TWIN, image("m7")) as emulator, Link(emulator.url) as link:
        result = measure(
            link, data, expected, twin=TWIN, model_crc32=tiny.CRC32, repeats=4, progress=lambda *at: steps.append(at)
        )
    assert (result.transport, result.images, result.warmup) == ("emulator", 6, 1)
    assert (result.bytes_compared, result.differing_bytes) == (6 * tiny.BYTES, 1)
    assert np.array_equal(result.outputs, tiny.outputs(data))
    assert result.instructions is not None
    turns = data[:, 0].astype(int)
    per_turn = np.array(result.instructions.values) - 2 * turns
    assert np.ptp(per_turn[turns > 0]) <= 1
    assert set(result.repeated.values) == {result.instructions.values[0]}
    assert (result.cycles, result.milliseconds) == (None, None)
    assert 0 < result.stack.used <= result.stack.reserved
    assert steps == [(i, 6) for i in range(1, 7)]


@pytest.mark.slow
def test_what_does_not_belong_together_is_refused(image: Images) -> None:
    data = tiny.inputs(1)
    with RunningEmulator(TWIN, image("m7")) as emulator, Link(emulator.url) as link:
        with pytest.raises(DeviceError, match="runs the model tiny_model .* and not the one"):
            measure(link, data, twin=TWIN, model_crc32=1)
        with pytest.raises(DeviceError, match=r"built for tiny_m7, not for stm32f746; .* flash stm32f746 again\.$"):
            measure(link, data, twin=TWIN, board="stm32f746")
        with pytest.raises(DeviceError, match=r"an emulator of tiny_m7 answers, .*; measure with --emulate"):
            measure(link, data, board="tiny_m7")
        with pytest.raises(DeviceError, match="counts at 25000000 Hz, the profile says 32000000 Hz"):
            measure(link, data, twin=tiny.TWINS["m55"])
        for wrong in (data[:, :7], data[:0], data[0]):
            with pytest.raises(UsageError, match="takes 300 int8 values per input"):
                measure(link, wrong, twin=TWIN)
        with pytest.raises(UsageError, match="gives 300 int8 values"):
            measure(link, data, data[:, :7], twin=TWIN)
        assert measure(link, data, twin=TWIN, board="tiny_m7").differing_bytes is None
