"""Generated C, compiled and run on the host, against the numpy reference; and what the generator refuses."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ofa_mcu.codegen import emit_c
from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.reference import run
from ofa_mcu.planning.kernels.base import Flavour
from ofa_mcu.planning.plan import Plan
from ofa_mcu.space.shapes import Activation, Add, Mul, ShapeGraph, Sub
from tests.codegen.models import plan_with, random_way, write_model
from tests.graph.strategies import GraphBuilder, random_graph, random_inputs
from tests.graph.wide import WideBuilder, quantization
from tests.kernels.toolchain import build, host_flags, kernel_sources

IMAGES = 3


@pytest.fixture(scope="module")
def kernel_objects(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("objects")
    objects = [folder / f"{source.stem}.o" for source in kernel_sources()]
    for source, target in zip(kernel_sources(), objects, strict=True):
        build("gcc", host_flags(sanitize=True), "-c", source, "-o", target)
    return objects


def observed(folder: Path, graph: Int8Graph, kernels: list[Path], images: np.ndarray) -> list[list[np.ndarray]]:
    """Per image: the tensor after each layer, then the output."""
    main = Path(__file__).with_name("model_main.c")
    sources = [folder / "ofa_model.c", folder / "ofa_weights.c", main]
    program = folder / "model"
    build("gcc", host_flags(sanitize=True), "-O1", f"-I{folder}", *sources, *kernels, "-o", program)
    done = subprocess.run([str(program)], input=images.tobytes(), capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    data = done.stdout
    position = 0
    result = []
    for _ in images:
        tensors = []
        for index, operator in enumerate(graph.structure.operators):
            number, size = np.frombuffer(data, np.int32, 2, position)
            assert (number, size) == (index, graph.structure.bytes_of(operator.output))
            tensors.append(np.frombuffer(data, np.int8, size, position + 8))
            position += 8 + size
        size = graph.structure.bytes_of(graph.structure.outputs[0])
        tensors.append(np.frombuffer(data, np.int8, size, position))
        position += size
        result.append(tensors)
    assert position == len(data)
    return result


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(16))
def test_every_tensor_of_random_graphs(tmp_path: Path, kernel_objects: list[Path], seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, max_ops=12)
    flavour = [Flavour.PORTABLE, Flavour.DSP][seed // 2 % 2]
    plan = plan_with(graph, flavour, random_way(rng), apart=seed % 2 == 1)
    write_model(tmp_path, graph, plan, debug=True)
    inputs = random_inputs(graph, rng, IMAGES)
    wanted = run(graph, inputs)
    for image, tensors in enumerate(observed(tmp_path, graph, kernel_objects, inputs["input"])):
        names = [operator.output for operator in graph.structure.operators] + list(graph.structure.outputs)
        for name, got in zip(names, tensors, strict=True):
            assert (got == wanted[name][image].ravel()).all(), name


def residual_graph() -> Int8Graph:
    build = GraphBuilder(np.random.default_rng(1))
    build.tensor("input", (1, 6, 6, 4))
    first = build.conv("input", 4, (3, 3), (1, 1), True, Activation.RELU6)
    output = build.add(first, "input", Activation.NONE)
    return build.finish("residual", (output,))


def emit(graph: Int8Graph, plan: Plan | None = None, **options: str) -> str:
    files = emit_c(graph, plan or plan_with(graph, apart=True), name=options.get("name", "m"), model_crc32=1)
    return "".join(files.values())


def moved(plan: Plan, **offsets: int) -> Plan:
    return replace(plan, memory=replace(plan.memory, offsets={**plan.memory.offsets, **offsets}))


def test_equal_input_gives_equal_bytes() -> None:
    assert emit(residual_graph()) == emit(residual_graph())


def test_header_holds_the_contract(tmp_path: Path) -> None:
    graph = residual_graph()
    plan = plan_with(graph, apart=True)
    header = emit_c(graph, plan, name='odd "name"??/', model_crc32=0xFF)["ofa_model.h"]
    assert "#define OFA_MODEL_CRC32 0x000000ffu" in header
    assert "#define OFA_MODEL_INPUT_BYTES 144" in header
    assert f"#define OFA_MODEL_ARENA_BYTES {plan.arena_bytes}" in header
    assert "observe" not in header
    (tmp_path / "ofa_model.h").write_text(header)
    (tmp_path / "print.c").write_text(
        '#include <stdio.h>\n#include "ofa_model.h"\nint main(void){puts(OFA_MODEL_NAME);}'
    )
    build("gcc", ("-std=c11", "-Wall", "-Werror"), tmp_path / "print.c", "-o", tmp_path / "print")
    assert subprocess.check_output([str(tmp_path / "print")], text=True) == 'odd "name"??/\n'


def test_release_build_observes_nothing() -> None:
    assert "observe" not in emit(residual_graph())


def test_overlap_that_kernels_do_not_allow_is_refused() -> None:
    graph = residual_graph()
    plan = plan_with(graph, apart=True)
    add = graph.structure.operators[-1]
    offsets = plan.memory.offsets
    first, second = (offsets[name] for name in add.inputs)
    for allowed in (first, second):
        emit(graph, moved(plan, **{add.output: allowed}))
    with pytest.raises(OfaMcuError, match=r"layer 'add1' overlaps its input"):
        emit(graph, moved(plan, **{add.output: second + 4}))


@pytest.mark.parametrize("kind", [Add, Sub, Mul])
def test_a_tensor_joined_with_itself_may_be_overwritten(tmp_path: Path, kernel_objects: list[Path], kind: type) -> None:
    rng = np.random.default_rng(3)
    build = WideBuilder(rng)
    build.tensor("input", (1, 5, 6, 4))
    once = build.conv("input", 4, (1, 1), (1, 1), True, Activation.NONE)
    scale = build.quantization[once].scale
    target = quantization(60.0 * scale * scale if kind is Mul else 1.5 * scale, 4)
    graph = build.done("twice", (build.append(kind, (once, once), target),))
    images = random_inputs(graph, rng, IMAGES)
    wanted = run(graph, images)
    for apart in (False, True):
        write_model(tmp_path, graph, plan_with(graph, apart=apart), debug=True)
        for image, tensors in enumerate(observed(tmp_path, graph, kernel_objects, images["input"])):
            assert (tensors[-1] == wanted[graph.structure.outputs[0]][image].ravel()).all()


def test_buffers_outside_the_arena_are_refused() -> None:
    graph = residual_graph()
    plan = plan_with(graph, apart=True)
    with pytest.raises(OfaMcuError, match="of an arena of"):
        emit(graph, moved(plan, input=plan.arena_bytes))
    offsets = {name: offset for name, offset in plan.memory.offsets.items() if name != "input"}
    with pytest.raises(OfaMcuError, match="'input' .* no place"):
        emit(graph, replace(plan, memory=replace(plan.memory, offsets=offsets)))


def test_names_that_c_cannot_hold_are_refused() -> None:
    with pytest.raises(UsageError, match="printable ASCII"):
        emit(residual_graph(), name="zwei\nZeilen")


def test_layer_names_cannot_leave_comments() -> None:
    build = GraphBuilder(np.random.default_rng(1))
    build.tensor("input", (1, 2, 2, 4))
    graph = build.finish("evil", (build.conv("input", 4, (1, 1), (1, 1), True, Activation.NONE),))
    operator = graph.structure.operators[0]
    object.__setattr__(operator, "name", "a*/ int x; /*\n\\")
    evil = Int8Graph(graph.structure, graph.quantization, {operator.name: next(iter(graph.parameters.values()))})
    assert "*/ int" not in emit(evil)


def test_shapes_no_kernel_can_run_are_refused() -> None:
    graph = residual_graph()
    old = graph.structure
    plan = plan_with(graph, apart=True)
    for tensor, shape, words in [
        ("conv0/out", (1, 5, 6, 4), "layer 'conv0' .*writes"),
        ("input", (2, 6, 6, 4), "batch"),
    ]:
        structure = ShapeGraph(old.name, {**old.shapes, tensor: shape}, old.operators, old.inputs, old.outputs)
        with pytest.raises(OfaMcuError, match=words):
            emit(Int8Graph(structure, graph.quantization, graph.parameters), plan)
