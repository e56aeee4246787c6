from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ofa_mcu.devices.host_build import HostBuild
from ofa_mcu.devices.model_build import ModelFile, read_model
from ofa_mcu.devices.validation import LITERT, TFLM, Validation, validate_model
from ofa_mcu.devices.validation_records import DebugModel, flat_bytes, read_tensors
from ofa_mcu.devices.validation_twin import require_twin
from ofa_mcu.errors import DeviceError, InfeasibleError, MismatchError, OfaMcuError
from ofa_mcu.graph import reference
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.tflite_writer import write_tflite
from ofa_mcu.planning.facts import analyse
from ofa_mcu.profiles import load_profile
from tests.codegen.models import plan_with
from tests.devices.models import bordered_graph, many_ended_graph, write_model_file
from tests.graph.files import small_graph
from tests.graph.strategies import random_inputs

HOST = ("C for cortex-m3, this machine", "C for cortex-m7, this machine")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    return read_model(write_model_file(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def result(model: ModelFile, tmp_path_factory: pytest.TempPathFactory) -> Validation:
    return validate_model(model, random=1, out=tmp_path_factory.mktemp("out"))


def test_everybody_agrees(result: Validation) -> None:
    result.check()
    names = [witness.name for witness in result.witnesses]
    assert names == [TFLM, LITERT, *HOST]
    assert [witness.judges for witness in result.witnesses] == [True, False, True, True]
    assert result.inputs == 4 and not result.reproducers
    for witness in HOST:
        assert result.bytes_compared(witness) > 0
        assert result.differing_bytes(witness) == 0 and result.first_difference(witness) is None


def test_survivors_and_eliminated_are_all_tensors_of_the_file(result: Validation) -> None:
    source = result.model.graph.structure
    gone = {tensor.name: tensor.by for tensor in result.eliminated}
    assert gone["image"] == gone["scores"] == "fold_borders"
    assert len(result.tensors) + len(gone) == len(source.operators) + 1
    narrowed = next(check for check in result.tensors if check.layer.startswith("conv"))
    assert narrowed.shape[-1] == 7 and narrowed.bytes == 4 * 8 * 6 * 7


def test_many_ends_are_checked(tmp_path: Path) -> None:
    many = read_model(write_model_file(tmp_path, many_ended_graph()))
    result = validate_model(many, random=1, out=tmp_path)
    result.check()
    checks = {check.name: check for check in result.tensors}
    source = many.graph.structure
    assert {"motion", "spare", "const0"} <= set(checks) and checks["const0"].layer == "(constant const0)"
    for witness in HOST:
        shown = {name for name, check in checks.items() if witness in check.differing}
        assert shown == set(checks) - {"spare", "quantize0/out"}
    assert set(source.inputs) | {op.output for op in source.operators} <= set(checks) | {
        gone.name for gone in result.eliminated
    }


def test_a_file_that_computes_something_else(model: ModelFile, tmp_path: Path) -> None:
    """The graph and the file differ in one bias: TFLite Micro is right, and the reproducer shows it."""
    name = next(op.name for op in model.graph.structure.operators if op.name in model.graph.parameters)
    given = model.graph.parameters[name]
    other = replace(given, bias=given.bias + np.int32(1 << 20))
    graph = replace(model.graph, parameters={**model.graph.parameters, name: other})
    wrong = validate_model(replace(model, graph=graph), load_profile("stm32f103"), random=1, out=tmp_path)
    first = wrong.first_difference(TFLM)
    assert first is not None and first.layer == name
    with pytest.raises(MismatchError, match=rf"TFLite Micro and the reference differ in .* first in layer '{name}'"):
        wrong.check()
    with np.load(wrong.reproducers[TFLM]) as arrays:
        assert "input:image" in arrays
        key = first.name.replace("/", "|")
        assert (arrays[f"expected:{key}"].ravel() != arrays[f"found:{key}"].ravel()).any()
    assert wrong.differing_bytes("C for cortex-m3, this machine") == 0


def test_a_debug_model_on_this_machine() -> None:
    graph = small_graph()
    inputs = random_inputs(graph, np.random.default_rng(5), 3)
    wanted = reference.run(graph, inputs)
    with HostBuild(sanitize=True) as host:
        found = host.run(DebugModel(graph, plan_with(graph), analyse(graph)), flat_bytes(inputs, ("input",)))
    assert set(found) == {operator.output for operator in graph.structure.operators}
    assert all((found[name] == flat_bytes(wanted, (name,))).all() for name in found)
    with pytest.raises(OfaMcuError, match="stopped in input 0 at tensor"):
        read_tensors(b"", graph.structure, 1)


def test_missing_tools_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    profile = load_profile("stm32f746")
    with pytest.raises(DeviceError, match="no emulated twin"):
        require_twin(replace(profile, emulator=None))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match=r"gcc, this machine's C compiler, is not on PATH; install it"):
        HostBuild()
    with pytest.raises(DeviceError, match=r"arm-none-eabi-gcc is not on PATH; install it") as caught:
        require_twin(profile)
    assert caught.value.exit_code == 4


@pytest.mark.slow
@pytest.mark.parametrize("make", [bordered_graph, many_ended_graph])
@pytest.mark.parametrize("board", ["rp2040", "stm32f746", "mps3_an547"])
def test_every_tensor_in_the_twin(board: str, make: Callable[[], Int8Graph], tmp_path: Path) -> None:
    path = write_model_file(tmp_path, make())
    assert path.read_bytes() == write_tflite(make())
    result = validate_model(read_model(path), load_profile(board), emulate=True, random=1, out=tmp_path)
    result.check()
    assert result.bytes_compared(f"C for {board}, emulated") > 0


@pytest.mark.slow
def test_a_twin_that_is_too_small(model: ModelFile, tmp_path: Path) -> None:
    small = replace(load_profile("stm32f103"), flash_bytes=-12_000)
    with pytest.raises(InfeasibleError, match=r"exceeds the board: its FLASH by \d+ bytes; choose a larger board"):
        validate_model(model, small, emulate=True, random=0, out=tmp_path)
