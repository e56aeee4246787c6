"""The runtime tflm without TFLite Micro: what is generated, predicted, refused and compared; the road to the twin."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ofa_mcu.cli.common import quantity
from ofa_mcu.codegen.tflm import emit_tflm
from ofa_mcu.codegen.tflm_api import ADDERS, TflmApi, read_api
from ofa_mcu.devices.build import build_failure
from ofa_mcu.devices.project import write_project
from ofa_mcu.devices.tflm_build import TflmOptions, side_by_side, tflm_files
from ofa_mcu.devices.tflm_failures import tflm_failure
from ofa_mcu.devices.tflm_library import TflmLibrary, tflm_library
from ofa_mcu.errors import InfeasibleError, UsageError
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.tflite_options import BuiltinOperator
from ofa_mcu.graph.tflite_reader import operators_used, read_tflite
from ofa_mcu.graph.tflite_writer import write_tflite
from ofa_mcu.planning.tflm import TFLM_STACK_BYTES, tflm_arena_needs, tflm_head_bytes
from ofa_mcu.profiles import load_profile
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import FASHION_MNIST
from tests.cli.verbs import run
from tests.codegen.models import random_weights
from tests.tflm.imitation import NEEDED, imitated_tree

MEASURED = {
    "kws_ref_model": 22_820,
    "vww_96_int8": 100_708,
    "mcunet_vww1": 219_808,
    "micro_speech_quantized": 6_836,
}
"""Bytes of arena that TFLite Micro with CMSIS-NN was seen to take on a Cortex-M7."""


@pytest.fixture(scope="module")
def graph() -> Int8Graph:
    return random_weights(shape_graph(FASHION_MNIST, FASHION_MNIST.smallest), np.random.default_rng(2))


@pytest.fixture(scope="module")
def data(graph: Int8Graph) -> bytes:
    return write_tflite(graph)


@pytest.fixture
def run_folder(tmp_path: Path, data: bytes) -> Path:
    """What a search would have left."""
    folder = tmp_path / "a b" / "made-up"
    folder.mkdir(parents=True)
    (folder / "model.tflite").write_bytes(data)
    pick = {"subnet": str(FASHION_MNIST.smallest), "model_crc32": zlib.crc32(data)}
    (folder / "config.json").write_text(json.dumps({"task": "fashion-mnist"}))
    (folder / "report.json").write_text(json.dumps({"board": "stm32f746", "pick": pick}))
    return folder


def test_the_resolver_has_just_the_operators_used(graph: Int8Graph, data: bytes) -> None:
    used = operators_used(data)
    assert {type(op).__name__.upper() for op in graph.structure.operators} == {
        operator.name.replace("_", "") for operator in used
    }
    source = emit_tflm(data, graph, name="m", model_crc32=0, arena_bytes=1 << 16)["ofa_model_tflm.cpp"]
    assert re.findall(r"resolver->(\w+)\(", source) == [ADDERS[operator] for operator in used]
    assert f"MicroMutableOpResolver<{len(used)}>" in source
    assert source.count("!= kTfLiteOk") == len(used) + 2


def test_the_array_is_the_file(graph: Int8Graph, data: bytes) -> None:
    text = emit_tflm(data, graph, name="m", model_crc32=0, arena_bytes=1 << 16)["ofa_tflite.c"]
    body = text[text.index("= {") :]
    assert bytes(map(int, re.findall(r"\d+", body))) == data
    assert f"const uint8_t ofa_tflite[{len(data)}] OFA_CONSTANT __attribute__((aligned(16)))" in text


def test_the_api_is_read_from_headers(tmp_path: Path, graph: Int8Graph) -> None:
    api = read_api(imitated_tree(tmp_path, graph))
    assert api.namespaces == ("tflite", "tflite::micro")
    assert api.registration(BuiltinOperator.CONV_2D) == "AddConv2D(Register_CONV_2D_INT8())"
    assert api.registration(BuiltinOperator.ADD) == "AddAdd()"
    with pytest.raises(UsageError, match="does not know TRANSPOSE"):
        TflmApi(adders=frozenset({"AddConv2D"})).registration(BuiltinOperator.TRANSPOSE)
    with pytest.raises(UsageError, match=r"holds no tensorflow/.*create_tflm_tree\.py"):
        read_api(tmp_path / "elsewhere")


def test_where_cmsis_nn_is_seen(tmp_path: Path, graph: Int8Graph) -> None:
    assert not tflm_library(imitated_tree(tmp_path / "without", graph), None).cmsis_nn
    library = tflm_library(imitated_tree(tmp_path / "with", graph, cmsis_nn=True), None)
    assert library.cmsis_nn
    assert "-DCMSIS_NN" in library.settings()


@pytest.mark.parametrize("name", sorted(MEASURED))
def test_the_arena_is_bounded_from_above(models_dir: Path, name: str) -> None:
    structure = read_tflite((models_dir / f"{name}.tflite").read_bytes(), name).structure
    for cmsis_nn in (False, True):
        needs = tflm_arena_needs(structure, cmsis_nn)
        assert MEASURED[name] < needs.arena_bytes < 1.17 * MEASURED[name]
        assert needs.least_bytes < MEASURED[name]
        assert needs.head >= tflm_head_bytes(structure)


def test_an_arena_below_the_least_is_refused(graph: Int8Graph, data: bytes) -> None:
    options = TflmOptions(TflmLibrary(TflmApi(), name="x"), 2048)
    with pytest.raises(UsageError, match="--arena 2048 is too small"):
        tflm_files(data, graph, "m", 0, options)


@pytest.mark.parametrize(("board", "arena"), [("stm32f103", "18k"), ("stm32g474", "10M")])
def test_an_arena_that_the_board_cannot_hold_is_refused_unbuilt(
    run_folder: Path, capsys: pytest.CaptureFixture[str], board: str, arena: str
) -> None:
    words = ("--run", run_folder, "--board", board, "--runtime", "tflm", "--tflm-lib", "x", "--json", "--arena", arena)
    profile = load_profile(board)
    for verb in (("build",), ("flash", "--dry-run")):
        assert run(*verb, *words) == 3
        said = capsys.readouterr()
        error = json.loads(said.out)["error"]
        assert (error["code"], error["constraint"], error["region"]) == ("infeasible", "sram", profile.ram_names)
        assert error["budget"] == profile.ram_bytes == error["needed"] - error["excess_bytes"]["sram"]
        assert f"exceeds {board}'s {profile.ram_names} of {profile.ram_bytes} B by" in error["message"]
        assert "(--arena) and" in error["message"] and "; give less (--arena, more than" in error["message"]
        assert not (run_folder / "firmware-tflm").exists()


def test_an_arena_of_its_own_region_is_held_against_that(graph: Int8Graph) -> None:
    needs = tflm_arena_needs(graph.structure, cmsis_nn=True)
    board = replace(load_profile("stm32f407"), arena_region="CCM")
    library = TflmLibrary(TflmApi(), name="x")
    TflmOptions(library, 65_536).check_fit(needs, board)
    with pytest.raises(
        InfeasibleError, match=r"arena of 65552 B \(--arena\) exceeds stm32f407's CCM .* by 16 B; give less"
    ):
        TflmOptions(library, 65_537).check_fit(needs, board)
    small = replace(load_profile("stm32f103"), ram_bytes=8192)
    with pytest.raises(
        InfeasibleError, match=r"exceeds stm32f103's SRAM of 8192 B .*; choose a smaller subnet or a la"
    ):
        TflmOptions(library).check_fit(needs, small)


def test_an_overflow_by_the_arena_asked_for_is_told_so(graph: Int8Graph, tmp_path: Path) -> None:
    needs = tflm_arena_needs(graph.structure, cmsis_nn=True)
    library = TflmLibrary(TflmApi(), name="x")
    for region, blamed in (("RAM", True), ("FLASH", False)):
        error = build_failure(f"region `{region}' overflowed by 8 bytes", "stm32f746", tmp_path)
        assert isinstance(error, InfeasibleError)
        said = str(TflmOptions(library, 10_000_000).blamed(error, needs))
        assert ("with an arena of 10000000 B (--arena); give less" in said) == blamed
        assert ("choose a smaller subnet" in said) != blamed
        assert TflmOptions(library).blamed(error, needs) is error


@pytest.mark.parametrize("name", ["a;b # c", "x ; y", "#x", "a ${env.PATH}", "a\nb", "a\x1bb", " ", ""])
def test_a_package_is_what_an_ini_can_hold(name: str) -> None:
    with pytest.raises(UsageError, match="^--tflm-lib .*write "):
        tflm_library(None, name)


@pytest.mark.parametrize("name", ["someone/tflm @ ^1.0", "https://example.invalid/x.git#v1", "x=symlink://a b"])
def test_an_address_is_a_package(name: str) -> None:
    assert tflm_library(None, name).name == name


@pytest.mark.parametrize(("text", "bytes_"), [("12.0", 12), ("1.5k", 1536), ("64k", 65_536), ("0.1k", 102)])
def test_quantities(text: str, bytes_: int) -> None:
    assert quantity("--arena", text, memory=True) == bytes_


@pytest.mark.parametrize("text", ["12.5", "12.5B", "0.5"])
def test_a_byte_has_no_fractions(text: str) -> None:
    with pytest.raises(UsageError, match=f"--arena '{text}' is no"):
        quantity("--arena", text, memory=True)


def test_no_board_has_as_much() -> None:
    with pytest.raises(UsageError, match="is more than any board has"):
        quantity("--max-sram", "9" * 400, memory=True)


def test_failures_are_sentences() -> None:
    assert "in an arena of 2048 bytes" in tflm_failure("03000800")
    assert "operator 2" in tflm_failure("02000002")
    assert "status 7F000000" in tflm_failure("7F000000")
    assert "status nonsense" in tflm_failure("nonsense")


def test_a_package_serves_the_board_only(tmp_path: Path, graph: Int8Graph, data: bytes) -> None:
    library = tflm_library(None, "someone/TensorFlowLite @ ^1.0")
    files, _, _ = tflm_files(data, graph, "m", 0, TflmOptions(library))
    project = write_project(tmp_path / "project", load_profile("stm32f746"), files, TFLM_STACK_BYTES, library)
    ini = (project.folder / "platformio.ini").read_text()
    assert project.emulated_environment is None
    assert "lib_deps =\n    someone/TensorFlowLite @ ^1.0\n" in ini
    assert "emulated" not in ini
    assert not (project.folder / "boards").exists()


def test_what_is_refused(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, sentence in (
        (("build", "--runtime", "tflm"), "needs either --tflm-path"),
        (("build", "--runtime", "quick"), "neither compiled nor tflm"),
        (("build", "--patch"), "not there yet"),
        (("build", "--tflm-lib", "x"), "belongs to --runtime tflm"),
        (("bench", "--emulate", "--runtime", "tflm", "--tflm-lib", "x"), "give --tflm-path DIR"),
    ):
        assert run(*words, "--run", run_folder) == 2
        assert sentence in " ".join(capsys.readouterr().err.split())


def test_a_missing_cplusplus_library_is_named(tmp_path: Path) -> None:
    said = "src/model/ofa_model_tflm.cpp:6:10: fatal error: new: No such file or directory"
    assert "apt-get install libstdc++-arm-none-eabi-dev" in str(build_failure(said, "stm32f746", tmp_path))


def test_side_by_side_leaves_out_what_nobody_knows() -> None:
    compiled = {"differing_bytes": 0, "instructions": 1000, "milliseconds": None, "arena_used": None}
    tflm = {"differing_bytes": 0, "instructions": 9000, "milliseconds": None, "arena_used": 5000}
    assert side_by_side({"compiled": compiled, "tflm": tflm}) == [
        ("", "compiled", "tflm"),
        ("output bytes that differ from the reference", "0", "0"),
        ("instructions per inference", "1,000", "9,000"),
        ("arena used, B", "", "5,000"),
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("cross_cplusplus")
def test_both_runtimes_on_the_twin(
    run_folder: Path, tmp_path: Path, graph: Int8Graph, capsys: pytest.CaptureFixture[str]
) -> None:
    """An imitation of TFLite Micro runs there: the table appears, and the wrong bytes end with exit code 5."""
    tree = imitated_tree(tmp_path / "a tree", graph, cmsis_nn=True)
    words = ("bench", "--run", run_folder, "--emulate", "--images", "2", "--runtime", "tflm", "--tflm-path", tree)
    assert run(*words) == 5
    said = capsys.readouterr()
    assert "compiled" in said.out and "tflm" in said.out
    assert "output bytes of stm32f746 differ" in " ".join(said.err.split())
    result = json.loads((run_folder / "bench-tflm.json").read_text())
    assert (result["runtime"], result["arena_used"]) == ("tflm", NEEDED)
    assert (result["kernels"], result["warnings"]) == ("cmsis_nn", [])
    assert "a b" in str(run_folder)  # PlatformIO builds where a path has a space
    assert json.loads((run_folder / "bench.json").read_text())["runtime"] == "compiled"
    assert json.loads((run_folder / "bench.json").read_text())["differing_bytes"] == 0
