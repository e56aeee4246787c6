"""Generated code with TFLite Micro itself, on this computer: its headers, its interpreter, our protocol, every byte."""

from __future__ import annotations

import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest

from ofa_mcu.codegen.tflm import emit_tflm, interpreter_source
from ofa_mcu.devices.bench import Measurement, measure
from ofa_mcu.devices.link import Link
from ofa_mcu.devices.validation_records import flat_bytes
from ofa_mcu.errors import DeviceError
from ofa_mcu.graph import reference
from ofa_mcu.graph.ir import Int8Graph, Parameters
from ofa_mcu.graph.tflite_options import BuiltinOperator
from ofa_mcu.graph.tflite_reader import read_tflite
from ofa_mcu.graph.tflite_writer import write_tflite
from ofa_mcu.graph.verify import probe_inputs
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import FASHION_MNIST
from ofa_mcu.space.shapes import FullyConnected
from tests.codegen.models import random_weights
from tests.devices.models import many_ended_graph
from tests.firmware.test_arduino import on_pty
from tests.tflm.conftest import FLAGS, MakeFirmware, TflmHost

AMPLE = 400_000
ARM = ("arm-none-eabi-g++", "-mcpu=cortex-m4", "-mthumb", "-fno-rtti", "-fno-exceptions", "-fno-threadsafe-statics")


def subnet_graph() -> Int8Graph:
    """The smallest subnet of a shipped space."""
    rng = np.random.default_rng(2)
    return random_weights(shape_graph(FASHION_MNIST, FASHION_MNIST.smallest), rng)


def measured(program: Path, data: bytes) -> Measurement:
    graph = read_tflite(data, "model")
    values = reference.run(graph, probe_inputs(graph, random=2))
    images = len(next(iter(values.values())))
    values |= {name: np.repeat(codes, images, axis=0) for name, codes in graph.constants.items()}
    given, wanted = (flat_bytes(values, names) for names in (graph.structure.inputs, graph.structure.outputs))
    with on_pty(program) as port, Link(port) as link:
        return measure(link, given, wanted, model_crc32=zlib.crc32(data))


@pytest.mark.slow
def test_a_subnet_of_ours(make_firmware: MakeFirmware) -> None:
    data = write_tflite(subnet_graph())
    result = measured(make_firmware(data, AMPLE), data)
    assert (result.differing_bytes, result.hello.arena_bytes) == (0, AMPLE)
    assert result.bytes_compared > 0
    assert (result.hello.runtime, result.hello.kernels) == ("tflm", None)
    assert 0 < (result.hello.arena_used_bytes or 0) < AMPLE


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kws_ref_model", "vww_96_int8"])
def test_models_of_others(make_firmware: MakeFirmware, models_dir: Path, name: str) -> None:
    data = (models_dir / f"{name}.tflite").read_bytes()
    assert measured(make_firmware(data, AMPLE), data).differing_bytes == 0


def dense_per_tensor(graph: Int8Graph) -> Int8Graph:
    """Releases of TFLite Micro before 2024, as this one, take the first scale for all channels of a dense layer."""
    dense = {op.name for op in graph.structure.operators if isinstance(op, FullyConnected)}
    parameters = {
        name: Parameters(p.weights, p.bias, p.weight_scales[:1]) if name in dense else p
        for name, p in graph.parameters.items()
    }
    return Int8Graph(graph.structure, graph.quantization, parameters, graph.constants)


@pytest.mark.slow
def test_many_ends_and_float_ones(make_firmware: MakeFirmware) -> None:
    data = write_tflite(dense_per_tensor(many_ended_graph()))
    assert measured(make_firmware(data, AMPLE), data).differing_bytes == 0


@pytest.mark.slow
@pytest.mark.parametrize("arena", [1024, 2048])
def test_an_arena_too_small_is_one_sentence(make_firmware: MakeFirmware, arena: int) -> None:
    with pytest.raises(DeviceError, match=rf"in an arena of {arena} bytes, .* \(--arena BYTES\)\.$"):
        measured(make_firmware(write_tflite(subnet_graph()), arena), write_tflite(subnet_graph()))


@pytest.mark.slow
@pytest.mark.usefixtures("cross_cplusplus")
def test_every_operator_compiles_for_both(tflm_host: TflmHost, tmp_path: Path) -> None:
    data = write_tflite(subnet_graph())
    graph = read_tflite(data, "all")
    files = emit_tflm(data, graph, name="all", model_crc32=0, arena_bytes=AMPLE, api=tflm_host.api)
    source = interpreter_source(graph.structure, list(BuiltinOperator), tflm_host.api)
    assert all(f"resolver->{tflm_host.api.registration(operator)}" in source for operator in BuiltinOperator)
    (tmp_path / "model").mkdir()
    for name, text in {**files, "ofa_model_tflm.cpp": source}.items():
        (tmp_path / "model" / name).write_text(text)
    for compiler in (("g++",), ARM):
        unit = str(tmp_path / "model" / "ofa_model_tflm.cpp")
        subprocess.run(
            [*compiler, "-std=gnu++17", *FLAGS, *tflm_host.includes, "-c", unit, "-o", str(tmp_path / "unit.o")],
            check=True,
        )
