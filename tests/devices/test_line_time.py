"""What share of a line's time carries payload, with the real link and firmware and a line in virtual time."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.serial_line import BYTES, large_program, transfers

RECEIVE_BUFFER = 64
"""Bytes that the cores of Arduino keep at least, one of them unused."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return large_program(tmp_path_factory.mktemp("large"))


@pytest.mark.parametrize("baud", [115_200, 921_600])
@pytest.mark.parametrize("turnaround_s", [0.001, 0.004, 0.016])
def test_four_fifths_of_the_line_carry_payload(program: Path, baud: int, turnaround_s: float) -> None:
    there, back = transfers(program, baud, turnaround_s)
    assert there.utilisation > 0.8 and back.utilisation > 0.8
    assert there.traffic.sent < 1.14 * BYTES and back.traffic.received < 1.14 * BYTES
    assert there.traffic.stalls == back.traffic.stalls == 1
    assert there.traffic.backlog < RECEIVE_BUFFER


def test_one_request_at_a_time_stalls_for_each(program: Path) -> None:
    there, _ = transfers(program, 921_600, 0.004, window=1)
    assert there.traffic.stalls == -(-BYTES // 220)
    assert there.utilisation < 0.4
