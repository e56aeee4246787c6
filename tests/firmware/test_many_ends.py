"""The protocol with a model of many inputs and outputs: one piece each for the host, wherever a request begins."""

from __future__ import annotations

from collections.abc import Iterator
from zlib import crc32

import numpy as np
import pytest

from ofa_mcu.codegen import emit_c
from ofa_mcu.devices.bench import measure
from ofa_mcu.devices.link import Link
from ofa_mcu.devices.session import Session
from ofa_mcu.devices.validation_records import flat_bytes, kernel_include, kernel_sources, split_outputs
from ofa_mcu.errors import DeviceError
from ofa_mcu.graph import reference
from ofa_mcu.graph.pipeline import optimize
from ofa_mcu.graph.verify import probe_inputs
from tests.codegen.models import plan_with
from tests.devices.models import many_ended_graph
from tests.firmware.test_arduino import firmware_program, on_pty

CRC32 = 77
SOURCE = many_ended_graph()
DONE = optimize(SOURCE)
STRUCTURE = DONE.graph.structure


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Link]:
    files = emit_c(DONE.graph, plan_with(DONE.graph), name="ends", model_crc32=CRC32, source=SOURCE)
    folder = tmp_path_factory.mktemp("ends")
    with on_pty(firmware_program(folder, files, kernel_sources(), kernel_include())) as port, Link(port) as opened:
        yield opened


@pytest.mark.slow
def codes() -> tuple[np.ndarray, np.ndarray]:
    wanted = DONE.expected(reference.run(SOURCE, probe_inputs(SOURCE, random=4)))
    return flat_bytes(wanted, STRUCTURE.inputs), flat_bytes(wanted, STRUCTURE.outputs)


def test_all_bytes_go_and_come(link: Link) -> None:
    given, wanted = codes()
    result = measure(link, given, wanted, model_crc32=CRC32)
    assert (result.hello.input_bytes, result.hello.output_bytes) == (given.shape[1], wanted.shape[1])
    assert result.differing_bytes == 0
    parts = split_outputs(STRUCTURE, result.outputs)
    assert set(parts) == set(STRUCTURE.outputs)
    assert np.array_equal(parts["motion"], split_outputs(STRUCTURE, wanted)["motion"])


@pytest.mark.parametrize("step", [1, 7, 24, 100, 220])
def test_pieces_of_any_size_cross_the_ends(link: Link, step: int) -> None:
    given, wanted = codes()
    session = Session(link)
    data, answer = given[-1].tobytes(), wanted[-1].tobytes()
    for offset in reversed(range(0, len(data), step)):
        link.request("load", str(offset), data=data[offset : offset + step])
    said = link.request("infer", f"{crc32(data):08X}")
    assert said[1] == f"crc={crc32(answer):08X}"
    assert link.fetch("output", len(answer)) == answer
    for count in range(0, len(answer) + 1, step):
        assert link.fetch("output", count) == answer[:count]
    assert session.hello.output_bytes == len(answer)


def test_nothing_goes_beyond_the_last_end(link: Link) -> None:
    given, wanted = codes()
    for words, data in (
        (("load", str(given.shape[1])), b"A"),
        (("load", str(given.shape[1] - 2)), b"AAA"),
        (("output", str(wanted.shape[1]), "1"), None),
        (("output", str(wanted.shape[1] - 2), "3"), None),
    ):
        with pytest.raises(DeviceError, match="range"):
            link.request(*words, data=data)
    assert link.request("output", str(wanted.shape[1]), "0") == (str(wanted.shape[1]),)
