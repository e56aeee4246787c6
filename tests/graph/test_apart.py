"""Work in a process of its own: results, errors and sudden ends."""

from __future__ import annotations

import os

import numpy as np
import pytest

from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.graph import interpreters
from ofa_mcu.graph.apart import apart
from ofa_mcu.graph.tflite_writer import write_tflite
from ofa_mcu.space.shapes import Softmax
from tests.graph.wide import UNIT, WideBuilder, quantization


def test_the_result_comes_back() -> None:
    assert (apart(lambda: np.arange(1_000_000), "nobody") == np.arange(1_000_000)).all()


def test_errors_come_back() -> None:
    def fails() -> None:
        raise UsageError("no such thing")

    with pytest.raises(UsageError, match="no such thing"):
        apart(fails, "nobody")


@pytest.mark.parametrize(("end", "how"), [(os.abort, "SIGABRT"), (lambda: os._exit(3), "without an answer")])
def test_a_sudden_end_is_told(end: object, how: str) -> None:
    with pytest.raises(OfaMcuError, match=f"witness ended .*{how}"):
        apart(end, "witness")  # type: ignore[arg-type]


def test_tflm_aborts_on_a_thousand_equal_classes() -> None:
    """The sum of their exponentials has more integer bits than its fixed point can be shifted by."""
    build = WideBuilder(np.random.default_rng(0))
    build.tensor("input", (1, 1000), quantization(0.1, 0))
    output = build.append(Softmax, ("input",), UNIT, beta=1.0)
    data = write_tflite(build.done("classes", (output,)))
    codes = {"input": np.zeros((1, 1000), np.int8)}
    with pytest.raises(OfaMcuError, match="TFLite Micro ended by SIG"):
        apart(lambda: interpreters.tflm_tensors(data, codes, [output]), "TFLite Micro")
