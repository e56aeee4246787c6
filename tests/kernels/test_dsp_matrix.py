"""Convolutions of DSP cores against the reference: every way, in place at the smallest gap, host and emulated."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ofa_mcu.codegen.c_text import array_definition
from ofa_mcu.codegen.kernels.base import LayerCode, PlacedLayer
from ofa_mcu.codegen.kernels.dsp_matrix import write
from ofa_mcu.graph.constants import operator_constants
from ofa_mcu.graph.ir import Int8Graph, Parameters, Quantization
from ofa_mcu.graph.reference import run
from ofa_mcu.planning.facts import analyse, channel_scales
from ofa_mcu.planning.kernels.base import Flavour, LayerView, Rounding, Way
from ofa_mcu.planning.kernels.dsp_matrix import CONV, POINTWISE
from ofa_mcu.planning.kernels.dsp_matrix_layout import Geometry, direct_gap, geometry
from ofa_mcu.planning.requantize import own_shifts, prove
from ofa_mcu.space.shapes import Activation, Conv2D, Operator, Padding, ShapeGraph, same_padding, window_extent
from tests.codegen.emulation import Emulator, needs_emulator
from tests.codegen.models import plan_with
from tests.graph.wide import WideBuilder, quantization
from tests.kernels.generated import drawn_inputs
from tests.kernels.toolchain import ARM_CORES, WARNINGS, build, kernel_include, kernel_sources

TESTS = Path(__file__).parent.parent
MARGIN = 16
Pair = tuple[int, int]


@dataclass(frozen=True)
class Options:
    """A convolution; `pad` None is SAME."""

    size: Pair
    depth: int
    outputs: int
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    pad: Padding | None = None
    activation: Activation = Activation.RELU6
    zero_points: Pair = (-128, -128)
    spread: float = 0.3

    @property
    def extent(self) -> Pair:
        return window_extent(self.kernel[0], self.dilation[0]), window_extent(self.kernel[1], self.dilation[1])


def layer(options: Options, seed: int) -> Int8Graph:
    """One convolution with random weights and scales spread as in trained networks."""
    rng = np.random.default_rng(seed)
    (height, width), extent, stride = options.size, options.extent, options.stride
    pad = options.pad
    if pad is None:
        pad = Padding(*same_padding(height, extent[0], stride[0]), *same_padding(width, extent[1], stride[1]))
    rows = (height + pad.top + pad.bottom - extent[0]) // stride[0] + 1
    columns = (width + pad.left + pad.right - extent[1]) // stride[1] + 1
    operator = Conv2D(
        name="conv",
        inputs=("input",),
        output="output",
        kernel=options.kernel,
        stride=stride,
        padding=pad,
        activation=options.activation,
        dilation=options.dilation,
    )
    shapes = {"input": (1, height, width, options.depth), "output": (1, rows, columns, options.outputs)}
    taps = options.kernel[0] * options.kernel[1] * options.depth
    weights = Parameters(
        weights=rng.integers(-127, 128, (options.outputs, *options.kernel, options.depth), dtype=np.int8),
        bias=rng.integers(-2000, 2000, options.outputs, dtype=np.int32),
        weight_scales=(np.exp(rng.normal(0, options.spread, options.outputs)) * 0.02 / np.sqrt(taps)).astype(
            np.float32
        ),
    )
    scale = float(np.float32(6 / 255))
    quantization = {
        "input": Quantization(scale, options.zero_points[0]),
        "output": Quantization(scale, options.zero_points[1]),
    }
    return Int8Graph(ShapeGraph("layer", shapes, (operator,), ("input",), ("output",)), quantization, {"conv": weights})


def random_options(rng: np.random.Generator) -> Options:
    """Pointwise or not, small, odd; anything that is allowed."""
    depth, outputs = int(rng.choice([1, 2, 3, 4, 6, 13, 16])), int(rng.choice([1, 2, 3, 5, 8, 12]))
    common = Options(
        (int(rng.integers(1, 12)), int(rng.integers(1, 12))),
        depth,
        outputs,
        activation=Activation.NONE if rng.random() < 0.4 else [Activation.RELU, Activation.RELU6][int(rng.integers(2))],
        zero_points=(int(rng.integers(-128, 128)), int(rng.choice([-128, -100, 3, 60]))),
        spread=float(rng.choice([0.3, 1.0])),
    )
    if rng.random() < 0.3:
        return common
    kernel, stride, dilation = ((int(rng.integers(1, top)), int(rng.integers(1, top))) for top in (6, 4, 3))
    windows = replace(common, kernel=kernel, stride=stride, dilation=dilation)
    if rng.random() < 0.5:
        return windows
    pad = [int(rng.integers(0, extent)) for extent in (windows.extent[0],) * 2 + (windows.extent[1],) * 2]
    size = [
        max(n, extent - sum(p)) for n, extent, p in zip(windows.size, windows.extent, (pad[:2], pad[2:]), strict=True)
    ]
    return replace(windows, pad=Padding(*pad), size=(size[0], size[1]))


@dataclass(frozen=True, eq=False)
class Case:
    """A layer run in one way at one place: where its buffers start in an arena, its C, and what it must give."""

    view: LayerView
    way: Way
    starts: tuple[int, int, int]
    image: NDArray[np.int8]
    wanted: NDArray[np.int8]
    code: LayerCode

    @property
    def bytes(self) -> int:
        top = max(self.starts[0] + self.image.size + self.way.overread, self.starts[1] + self.wanted.size)
        return max(top, self.starts[2] + self.way.scratch_bytes) + MARGIN


def places(way: Way, input_bytes: int, output_bytes: int) -> list[tuple[int, int, bool]]:
    """Starts of input and output and whether the backward gap holds: as close as allowed, and apart."""
    found = [(output_bytes + 8, 0, False)]
    if way.forward_gap is not None:
        found.append((way.forward_gap, 0, False))
    if way.backward_gap is not None:
        start = input_bytes + way.backward_gap - output_bytes
        found.append((max(0, -start), max(0, start), True))
    return found


def cases_of(graph: Int8Graph, first: int, rng: np.random.Generator, *, own: bool) -> list[Case]:
    """All ways of the layer in all places; none where its rounding was not proved. `own`: a shift for every channel."""
    operator = graph.structure.operators[0]
    found = analyse(graph)
    constants = operator_constants(graph, operator)
    view = LayerView(graph.structure, operator, found.of(operator))
    scales = found.scales.get("conv")
    if own and scales is not None:
        channels = channel_scales(graph, operator, constants)  # type: ignore[arg-type]
        proved = prove(channels, own_shifts(channels))
        if proved.proved.all():
            scales = proved
            view = replace(view, facts=replace(view.facts, rounding=Rounding.PER_CHANNEL))
    image = rng.integers(-128, 128, graph.structure.shapes["input"][1:]).astype(np.int8)
    if rng.random() < 0.3:
        image = rng.choice(np.array([-128, 127], np.int8), image.shape)
    wanted = run(graph, {"input": image[None]})["output"].ravel()
    cases: list[Case] = []
    for way in (*POINTWISE.ways(view), *CONV.ways(view)):
        for source, target, backward in places(way, image.size, wanted.size):
            starts = (MARGIN + source, MARGIN + target)
            top = max(starts[0] + image.size + way.overread, starts[1] + wanted.size)
            scratch = -(-(top + MARGIN) // 8) * 8
            index = first + len(cases)
            placed = PlacedLayer(
                graph=graph,
                prefix=f"ofa_{index:02d}",
                view=view,
                way=way,
                constants=constants,
                scales=scales,
                inputs=(f"arena + {starts[0]}",),
                output=f"arena + {starts[1]}",
                scratch=f"arena + {scratch}" if way.scratch_bytes else "0",
                backward=backward,
            )
            cases.append(Case(view, way, (*starts, scratch), image.ravel(), wanted, write(placed)))
    return cases


def write_program(folder: Path, cases: list[Case]) -> None:
    """Something that looks like a model: run, it observes the arena after every case."""
    size = max(case.bytes for case in cases)
    header = [
        "#include <stdint.h>",
        "#define OFA_MODEL_INPUT_BYTES 1",
        "#define OFA_MODEL_OUTPUT_BYTES 1",
        "int8_t *ofa_model_input(void);",
        "const int8_t *ofa_model_output(void);",
        "void ofa_model_run(void);",
        "void ofa_model_observe(int index, const int8_t *data, int32_t bytes);",
    ]
    lines = ['#include "ofa_dsp_matrix_loop.h"', '#include "ofa_model.h"']
    lines += [f"static int8_t arena[{size}] __attribute__((aligned(16)));", "static int8_t nothing[1];"]
    functions: dict[str, tuple[str, ...]] = {}
    for case in cases:
        for name, text in case.code.functions.items():
            assert functions.setdefault(name, text) == text
        arrays = sum(-(-values.nbytes // 4) * 4 for values in case.code.arrays.values())
        assert case.way.constant_bytes - arrays == (32 if case.way.kernel == POINTWISE.name else 48)
    lines += [line for text in functions.values() for line in text]
    lines += ["#if defined(__arm__)"]
    for kind, size_of_kind in (("points", 32), ("window", 48)):
        lines += [f'_Static_assert(sizeof(ofa_matrix_{kind}_layer) == {size_of_kind}, "{kind}");']
    lines += ["#endif"]
    body: list[str] = []
    for index, case in enumerate(cases):
        lines += [f"static {array_definition(f'image{index}', case.image, 30)}"]
        lines += [f"static {array_definition(name, values, 10)}" for name, values in case.code.arrays.items()]
        lines += [f"static void case{index}(void)", "{", *case.code.body, "}"]
        body += [
            f"    for (int i = 0; i < {size}; ++i) arena[i] = 77;",
            f"    for (int i = 0; i < {case.image.size}; ++i) arena[{case.starts[0]} + i] = image{index}[i];",
            f"    case{index}();",
            f"    ofa_model_observe({index}, arena, {case.bytes});",
        ]
    lines += ["int8_t *ofa_model_input(void) { return nothing; }"]
    lines += ["const int8_t *ofa_model_output(void) { return nothing; }"]
    lines += ["void ofa_model_run(void)", "{", *body, "}"]
    (folder / "ofa_model.h").write_text("\n".join(header) + "\n")
    (folder / "ofa_model.c").write_text("\n".join(lines) + "\n")
    (folder / "images.c").write_text(
        "#include <stdint.h>\nextern const int8_t test_images[1];\nextern const int32_t test_image_count;\n"
        "const int8_t test_images[1] = {0};\nconst int32_t test_image_count = 1;\n"
    )


def check(cases: list[Case], arenas: list[NDArray[np.int8]]) -> None:
    """Right codes, and nothing else written."""
    assert len(arenas) == len(cases)
    for case, arena in zip(cases, arenas, strict=True):
        source, target, scratch = case.starts
        about = (case.view.operator, case.view.source, case.view.facts, case.way, case.starts)
        assert (arena[target : target + case.wanted.size] == case.wanted).all(), about
        before = np.full(case.bytes, 77, np.int8)
        before[source : source + case.image.size] = case.image
        before[target : target + case.wanted.size] = case.wanted
        before[scratch : scratch + case.way.scratch_bytes] = arena[scratch : scratch + case.way.scratch_bytes]
        assert (arena == before).all(), about


def some_cases(seed: int, layers: int) -> list[Case]:
    rng = np.random.default_rng(seed)
    cases: list[Case] = []
    while layers > 0:
        more = cases_of(layer(random_options(rng), int(rng.integers(1 << 30))), len(cases), rng, own=rng.random() < 0.4)
        layers -= bool(more)
        cases += more
    return cases


def records(data: bytes) -> list[NDArray[np.int8]]:
    """Tensors of the records that tests/codegen/model_main.c writes."""
    found, position = [], 0
    while position + 8 < len(data):
        size = int(np.frombuffer(data, np.int32, 2, position)[1])
        found.append(np.frombuffer(data, np.int8, size, position + 8))
        position += 8 + size
    return found


def matrix_sources() -> list[Path]:
    return [path for path in kernel_sources() if path.stem.startswith("ofa_dsp_matrix")]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_on_the_host(tmp_path: Path, seed: int) -> None:
    cases = some_cases(seed, 8)
    write_program(tmp_path, cases)
    flags = ("-std=gnu11", "-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all", *WARNINGS)
    sources = [tmp_path / "ofa_model.c", TESTS / "codegen" / "model_main.c", *matrix_sources()]
    build("gcc", (*flags, f"-I{kernel_include()}", f"-I{tmp_path}"), *sources, "-o", tmp_path / "program")
    done = subprocess.run([tmp_path / "program"], input=b"\0", capture_output=True, timeout=60, check=True)
    check(cases, records(done.stdout))


def emulate(folder: Path, cases: list[Case], core: str) -> list[int]:
    """Instructions of every case, observing included; their arenas are checked."""
    write_program(folder, cases)
    codegen = TESTS / "codegen"
    flags = (*ARM_CORES[core], "-O2", "-std=gnu11", *WARNINGS, f"-I{kernel_include()}", f"-I{folder}")
    link = ("-DTEST_STM32_TIMER", "-nostartfiles", "--specs=nano.specs", "-T", str(codegen / "emulated.ld"))
    sources = [folder / "ofa_model.c", folder / "images.c", codegen / "emulated_main.c", *matrix_sources()]
    memory = ("flash_origin=0x08000000", "ram_origin=0x20000000", "ram_bytes=0x20000")
    symbols = tuple(f"-Wl,--defsym={symbol}" for symbol in memory)
    build("arm-none-eabi-gcc", (*flags, *link, *symbols), *sources, "-o", folder / "program.elf")
    command = ["qemu-system-arm", "-M", "netduinoplus2", "-display", "none", "-monitor", "none", "-serial", "none"]
    command += ["-icount", "shift=0", "-semihosting-config", "enable=on,target=native", "-kernel"]
    done = subprocess.run([*command, str(folder / "program.elf")], capture_output=True, timeout=60, check=True)
    data, position, arenas, times = done.stdout, 0, [], []
    while position < len(data):
        _, size, time = (int(value) for value in np.frombuffer(data, np.int32, 3, position))
        arenas.append(np.frombuffer(data, np.int8, size, position + 12))
        times.append(time & 0xFFFFFFFF)
        position += 12 + size
    check(cases, arenas[2:])
    return times[2:]


@pytest.mark.slow
@needs_emulator
@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m7"])
def test_emulated(tmp_path: Path, core: str) -> None:
    emulate(tmp_path, some_cases(17 if core == "cortex-m4" else 18, 10), core)


@needs_emulator
def test_layers_of_real_networks(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    layers = [
        (Options((6, 6), 64, 64), 0.90),
        (Options((10, 10), 24, 144), 1.00),
        (Options((25, 5), 32, 13, activation=Activation.NONE), 1.40),
        (Options((49, 40), 1, 8, (10, 8), (2, 2)), 1.10),
        (Options((24, 24), 3, 8, (3, 3), (2, 2)), 1.30),
        (Options((8, 8), 16, 16, (3, 3)), 0.95),
    ]
    best = []
    cases: list[Case] = []
    for options, _ in layers:
        more = cases_of(layer(options, 5), len(cases), rng, own=False)
        best.append((len(cases), len(cases) + len(more)))
        cases += more
    times = emulate(tmp_path, cases, "cortex-m7")
    for (_, most), (start, end) in zip(layers, best, strict=True):
        view = cases[start].view
        # Filling the arena is counted, too: some instructions for each of its bytes.
        arena = max(case.bytes for case in cases)
        assert min(times[start:end]) - 12 * arena - 12 * view.macs // view.macs < most * view.macs, view.operator


def gap_by_bytes(shape: Geometry) -> int:
    """The same as `direct_gap`, from the bytes that blocks of four pixels read and write, in order."""
    blocks = []
    for row in range(shape.output_height):
        for column in range(0, shape.output_width, 4):
            last = min(column + 4, shape.output_width)
            top, left = row * shape.stride[0] - shape.pad_top, column * shape.stride[1] - shape.pad_left
            right = (last - 1) * shape.stride[1] - shape.pad_left + shape.extent[1]
            rows = [y for y in range(top, top + shape.extent[0]) if 0 <= y < shape.height]
            first = max(0, left) if left < shape.width and right > 0 else None
            read = (rows[0] * shape.width + first) * shape.depth if rows and first is not None else None
            blocks.append((read, (row * shape.output_width + last) * shape.outputs))
    gap = 0
    for index, (_, written) in enumerate(blocks):
        later = [read for read, _ in blocks[index + 1 :] if read is not None]
        if later:
            gap = max(gap, written - min(later))
    return gap


def test_direct_gaps_are_exact() -> None:
    rng = np.random.default_rng(12)
    for _ in range(200):
        structure = layer(random_options(rng), 1).structure
        operator = structure.operators[0]
        assert isinstance(operator, Conv2D)
        shape = geometry(operator, structure.shapes["input"], structure.shapes["output"])
        gap, exact = direct_gap(shape), gap_by_bytes(shape)
        assert gap >= exact
        # Only where whole windows lie in the padding may it be larger.
        if max(shape.pad_top, shape.pad_left) == 0:
            assert gap == exact, shape


def one_after_the_other(rng: np.random.Generator, layers: int) -> Int8Graph:
    """Convolutions that differ in size, activation and whether their channels are odd in number."""
    build = WideBuilder(rng)
    source = build.tensor("input", (1, 7, 9, 6), quantization(6 / 255, -128))
    for index in range(layers):
        channels, kernel = int(rng.choice([3, 8, 13, 16])), [(1, 1), (3, 3), (1, 1), (2, 5)][index % 4]
        activation = (Activation.NONE, Activation.RELU6)[index % 3 > 0]
        source = build.conv(source, channels, kernel, (1, 1), True, activation)
    return build.done("chain", (source,))


@pytest.mark.slow
@needs_emulator
@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m7", "cortex-m33"])
@pytest.mark.parametrize("loop", ["looped", "shared", "shared+shifts"])
def test_layers_in_a_loop(tmp_path: Path, core: str, loop: str) -> None:
    rng = np.random.default_rng(7)
    graph = one_after_the_other(rng, 9)

    def choose(operator: Operator, ways: Sequence[Way]) -> Way:
        some = [way for way in ways if way.variant.split()[:1] == [loop]]
        return some[int(rng.integers(len(some)))] if some else ways[0]

    plan = plan_with(graph, Flavour.DSP, choose)
    keys = {(code.kind, code.key) for one in plan.ways for code in one.way.code if code.kind == "dsp_matrix_looped"}
    assert len(keys) == 1 if loop == "shared+shifts" else keys
    images = drawn_inputs(graph, rng, 2)
    wanted = run(graph, {"input": images})
    for image, seen in enumerate(Emulator(core, tmp_path).run(graph, images, plan)):
        for operator, one in zip(graph.structure.operators, seen, strict=True):
            assert np.array_equal(one.tensor, wanted[operator.output][image].ravel()), (operator, plan)
