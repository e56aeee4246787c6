from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile

from ofa_mcu.devices.model_build import (
    BoardModel,
    border_codes,
    compile_model,
    default_folder,
    model_files,
    read_model,
    try_on_twin,
    write_model_project,
)
from ofa_mcu.errors import DeviceError, InfeasibleError, MismatchError, OfaMcuError
from ofa_mcu.graph.verify import probe_inputs
from ofa_mcu.planning.compile import CompileOptions
from ofa_mcu.planning.places import memory_uses
from ofa_mcu.profiles import load_profile
from tests.devices.models import bordered_graph, many_ended_graph, write_model_file
from tests.graph.files import edited

BOARD = "stm32f746"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> BoardModel:
    return compile_model(write_model_file(tmp_path_factory.mktemp("model")), load_profile(BOARD))


def test_what_is_no_model_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OfaMcuError, match=r"missing\.tflite cannot be read \(No such file"):
        read_model(tmp_path / "missing.tflite")
    (tmp_path / "text.tflite").write_text("no model at all")
    with pytest.raises(OfaMcuError, match="is not a TensorFlow Lite file"):
        read_model(tmp_path / "text.tflite")


def test_an_unsupported_operator_is_named_with_its_index(tmp_path: Path) -> None:
    def edit(model: object) -> None:
        for code in model.operatorCodes:  # type: ignore[attr-defined]
            if code.builtinCode == 22:  # RESHAPE
                code.builtinCode = code.deprecatedBuiltinCode = 28  # TANH

    path = tmp_path / "odd.tflite"
    path.write_bytes(edited(bordered_graph(), edit))
    with pytest.raises(OfaMcuError, match=r"operator 3 \(.*TANH, which is not supported"):
        read_model(path)


def test_names_are_ascii(tmp_path: Path) -> None:
    assert read_model(write_model_file(tmp_path, name="größe 1")).name == "gr__e_1"
    assert default_folder(Path("a/b.tflite"), "stm32f746") == Path("b-stm32f746")


def test_borders_are_codes(made: BoardModel) -> None:
    """The device takes what QUANTIZE makes of the values, and gives what DEQUANTIZE reads."""
    inputs = probe_inputs(made.model.graph, random=4)
    codes, wanted = border_codes(made, inputs)
    assert codes.shape == (7, 8 * 6 * 3) and wanted.shape == (7, 5) and codes.dtype == wanted.dtype == np.int8
    assert (codes[0] == -128).all() and (codes[1] == 127).all()


def test_many_ends_are_one_row_of_codes_each(tmp_path: Path) -> None:
    many = compile_model(write_model_file(tmp_path, many_ended_graph()), load_profile(BOARD))
    codes, wanted = border_codes(many, probe_inputs(many.model.graph, random=1))
    assert codes.shape == (4, 144 + 24 + 31) and wanted.shape == (4, 72 + 72 + 4 + 4 + 5 + 24 + 72)
    assert (wanted[:, :72] == wanted[:, 72:144]).all() and (wanted[:, :72] == wanted[:, -72:]).all()
    assert (wanted[:, -96:-72] == codes[:, 144:168]).all() and (wanted[:, 152:157] == wanted[0, 152:157]).all()


def test_dead_channels_go_unless_kept(made: BoardModel) -> None:
    whole = compile_model(made.model.path, made.profile, CompileOptions(dead_channels=False))
    assert made.compiled.graph.structure.macs < whole.compiled.graph.structure.macs


def test_files_and_the_hook_of_a_debug_build(made: BoardModel) -> None:
    release, debug = model_files(made), model_files(made, debug=True)
    assert sorted(release) == ["ofa_model.c", "ofa_model.h", "ofa_weights.c", "ofa_weights.h"]
    assert set(debug) - set(release) == {"ofa_observe.c"}
    assert "ofa_model_observe" in debug["ofa_model.c"] and "ofa_model_observe" not in release["ofa_model.c"]
    assert f"OFA_MODEL_CRC32 0x{made.model.crc32:08x}u" in release["ofa_model.h"]


def test_a_board_that_is_too_small(made: BoardModel) -> None:
    made.check_fit()
    cost = made.cost
    small = replace(made, profile=replace(made.profile, ram_bytes=cost.sram_bytes - 24, flash_bytes=1000))
    with pytest.raises(
        InfeasibleError, match=r"its SRAM \(DTCM .*\) of .* by 24 \(promised .*\) and its flash \(FLASH\) of 1,000"
    ) as it:
        small.check_fit()
    assert it.value.details == {
        "code": "infeasible",
        "constraint": "flash",
        "region": "FLASH",
        "needed": cost.flash_bytes,
        "budget": 1000,
        "excess_bytes": {"sram": 24, "flash": cost.flash_bytes - 1000},
    }


def test_an_arena_of_its_own_region(made: BoardModel) -> None:
    """Each memory is held against what goes there, and the one that overflows is named."""
    cost, board = made.cost, replace(load_profile("stm32h743"), arena_region="DTCM")
    apart = replace(made, profile=board)
    assert not apart.excess() and board.sram_bytes == board.ram_bytes + 131_072
    arena, rest, flash = memory_uses(cost, board)
    assert (arena.where, arena.needed, arena.there) == ("DTCM", cost.arena_bytes, 131_072)
    assert (rest.where, rest.needed, rest.there) == ("AXI_SRAM", cost.static_bytes + cost.stack_bytes, 524_288)
    assert flash.needed == cost.flash_bytes
    full = replace(board, regions=tuple(replace(r, bytes=100) if r.name == "DTCM" else r for r in board.regions))
    with pytest.raises(InfeasibleError, match=r"the memory of its arena \(DTCM\) of 100 bytes by") as it:
        replace(made, profile=full).check_fit()
    assert it.value.details["constraint"] == "sram" and it.value.details["region"] == "DTCM"
    assert it.value.details["excess_bytes"] == {"arena": cost.arena_bytes - 100}
    with pytest.raises(InfeasibleError, match=r"its SRAM \(AXI_SRAM\) of 2,000 bytes by"):
        replace(made, profile=replace(board, ram_bytes=2000)).check_fit()


@pytest.mark.slow
def test_a_trial_with_the_arena_apart(made: BoardModel, tmp_path: Path) -> None:
    """The twin has as much memory for the arena as the board, and not a byte more."""
    board = replace(load_profile("stm32h743"), arena_region="DTCM")
    apart = replace(made, profile=board)
    trial = try_on_twin(apart, write_model_project(apart, tmp_path / "apart", model_files(apart)), random=1)
    trial.check()
    with trial.build.build.elf.open("rb") as file:
        arena = ELFFile(file).get_section_by_name(".ofa_arena")
        assert arena is not None
        assert (arena["sh_addr"], arena["sh_size"]) == (0x20000000 + board.ram_bytes, made.cost.arena_bytes)
    fits = made.cost.arena_bytes
    full = replace(board, regions=tuple(replace(r, bytes=fits - 8) if r.name == "DTCM" else r for r in board.regions))
    small = replace(made, profile=full)
    with pytest.raises(InfeasibleError, match=r"the memory of its arena \(DTCM\) of [\d,]+ bytes by 8 ") as caught:
        try_on_twin(small, write_model_project(small, tmp_path / "full", model_files(small)))
    assert caught.value.details["excess_bytes"] == {"arena": 8}


def test_no_twin_no_trial(made: BoardModel, tmp_path: Path) -> None:
    alone = replace(made, profile=replace(made.profile, emulator=None))
    project = write_model_project(alone, tmp_path / "project", model_files(alone))
    with pytest.raises(DeviceError, match="has no emulated twin"):
        try_on_twin(alone, project)


@pytest.mark.slow
def test_a_trial_in_the_twin(made: BoardModel, tmp_path: Path) -> None:
    project = write_model_project(made, tmp_path / "project", model_files(made))
    trial = try_on_twin(made, project, random=3)
    trial.check()
    measured = trial.measurement
    assert (measured.images, measured.bytes_compared, trial.differing_bytes) == (6, 6 * 5, 0)
    assert trial.tflm is not None and trial.tflm.bytes_compared > 6 * 1000
    assert trial.build.image.sram_bytes == made.cost.sram_bytes
    wrong = replace(trial, measurement=replace(measured, differing_bytes=2))
    with pytest.raises(MismatchError, match=r"2 of 30 output bytes .* ofa-mcu validate"):
        wrong.check()
    deep = replace(trial, measurement=replace(measured, stack=replace(measured.stack, used=5000)))
    with pytest.raises(MismatchError, match="used up the 2048 B of stack"):
        deep.check()


@pytest.mark.slow
@pytest.mark.parametrize("board", ["rp2040", "stm32f746"])
def test_a_trial_of_many_ends(board: str, tmp_path: Path) -> None:
    many = compile_model(write_model_file(tmp_path, many_ended_graph()), load_profile(board))
    project = write_model_project(many, tmp_path / "project", model_files(many))
    trial = try_on_twin(many, project, random=1)
    trial.check()
    assert (trial.measurement.bytes_compared, trial.differing_bytes) == (4 * 253, 0)
    assert trial.build.image.sram_bytes == many.cost.sram_bytes


@pytest.mark.slow
def test_what_the_linker_refuses_is_told_in_bytes(made: BoardModel, tmp_path: Path) -> None:
    small = replace(made, profile=replace(made.profile, ram_bytes=made.cost.sram_bytes - 8))
    project = write_model_project(small, tmp_path / "project", model_files(small))
    with pytest.raises(
        InfeasibleError, match=r"exceeds stm32f746: its SRAM \(DTCM .*\) of [\d,]+ bytes by 8 "
    ) as caught:
        try_on_twin(small, project)
    assert caught.value.details["excess_bytes"] == {"sram": 8}
