"""Portable kernels on a core that is no Arm's: every tensor on an emulated RV32IMC, where compiler and emulator are."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ofa_mcu.codegen.c_text import array_definition
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.reference import run
from ofa_mcu.planning.kernels.base import Flavour
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import FASHION_MNIST
from tests.codegen.models import Choice, first_way, plan_with, random_way, random_weights, write_model
from tests.graph.strategies import random_graph, random_inputs
from tests.kernels.toolchain import WARNINGS, build, kernel_include, kernel_sources

COMPILER, QEMU = "riscv64-unknown-elf-gcc", "qemu-system-riscv32"
HERE = Path(__file__).parent
FLAGS = ("-march=rv32imc", "-mabi=ilp32", "-O2", "-std=gnu11", "-ffreestanding", "-ffunction-sections", *WARNINGS)
LINK = ("-nostdlib", f"-T{HERE / 'riscv.ld'}", "-Wl,--gc-sections", "-Wl,--no-warn-rwx-segments")

pytestmark = pytest.mark.skipif(
    shutil.which(COMPILER) is None or shutil.which(QEMU) is None,
    reason=f"{COMPILER} or {QEMU} is not installed (apt: gcc-riscv64-unknown-elf, qemu-system-misc)",
)


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The library's objects, compiled once."""
    folder = tmp_path_factory.mktemp("riscv")
    objects = [folder / f"{source.stem}.o" for source in kernel_sources()]
    for source, path in zip(kernel_sources(), objects, strict=True):
        build(COMPILER, (*FLAGS, f"-I{kernel_include()}"), "-c", source, "-o", path)
    return objects


def tensors(
    folder: Path, kernels: list[Path], graph: Int8Graph, images: NDArray[np.int8], choose: Choice
) -> list[tuple[int, NDArray[np.int8]]]:
    """Index of a layer and its output, for one image after the other."""
    write_model(folder, graph, plan_with(graph, Flavour.PORTABLE, choose), debug=True)
    data = ["#include <stdint.h>", "extern const int8_t test_images[];", "extern const int32_t test_image_count;"]
    data += [array_definition("test_images", images), f"const int32_t test_image_count = {len(images)};", ""]
    (folder / "images.c").write_text("\n".join(data))
    sources = [folder / name for name in ("ofa_model.c", "ofa_weights.c", "images.c")] + [HERE / "riscv_main.c"]
    flags = (*FLAGS, "-fno-tree-loop-distribute-patterns", f"-I{folder}", f"-I{kernel_include()}")
    build(COMPILER, (*flags, *LINK), *sources, *kernels, "-lgcc", "-o", folder / "model.elf")
    command = [QEMU, "-M", "virt", "-bios", "none", "-display", "none", "-monitor", "none", "-serial", "stdio"]
    done = subprocess.run(
        [*command, "-kernel", str(folder / "model.elf")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=True,
    )
    found, at = [], 0
    while at < len(done.stdout):
        index, count = struct.unpack_from("<ii", done.stdout, at)
        found.append((index, np.frombuffer(done.stdout, np.int8, count, at + 8)))
        at += 8 + count
    return found


def check(folder: Path, kernels: list[Path], graph: Int8Graph, images: NDArray[np.int8], choose: Choice) -> None:
    wanted, operators = run(graph, {"input": images}), graph.structure.operators
    found = tensors(folder, kernels, graph, images, choose)
    assert [index for index, _ in found] == len(images) * list(range(len(operators)))
    for number, (index, tensor) in enumerate(found):
        operator = operators[index]
        assert (tensor == wanted[operator.output][number // len(operators)].ravel()).all(), operator


def test_every_tensor_of_random_graphs(kernels: list[Path], tmp_path: Path) -> None:
    rng = np.random.default_rng(13)
    for _ in range(4):
        graph = random_graph(rng, max_ops=12)
        check(tmp_path, kernels, graph, random_inputs(graph, rng, 2)["input"], random_way(rng))


def test_every_tensor_of_a_subnet(kernels: list[Path], tmp_path: Path) -> None:
    rng = np.random.default_rng(17)
    graph = random_weights(shape_graph(FASHION_MNIST, FASHION_MNIST.smallest), rng)
    check(tmp_path, kernels, graph, random_inputs(graph, rng, 2)["input"], first_way)
