"""Bytes of constants: the promise from shapes against the object files of the cross compiler."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile

from ofa_mcu.codegen import kernel_of, layer_bytes, weight_bytes
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import FASHION_MNIST
from ofa_mcu.space.shapes import Conv2D, Operator, Padding
from tests.codegen.models import place_side_by_side, random_weights, write_model
from tests.graph.strategies import random_graph
from tests.kernels.toolchain import ARM_CORES, WARNINGS, build, kernel_include, needs_arm


def section_bytes(path: Path, prefix: str) -> int:
    with path.open("rb") as file:
        sections = ELFFile(file).iter_sections()
        return sum(section["sh_size"] for section in sections if section.name.startswith(prefix))


def compiled(folder: Path, graph: Int8Graph, core: str) -> list[Path]:
    offsets, arena = place_side_by_side(graph.structure)
    write_model(folder, graph, offsets, arena)
    objects = []
    for name in ("ofa_model", "ofa_weights"):
        objects.append(folder / f"{name}.o")
        flags = (*ARM_CORES[core], "-O2", "-std=gnu11", *WARNINGS, "-ffunction-sections", "-fdata-sections")
        flags += (f"-I{folder}", f"-I{kernel_include()}")
        build("arm-none-eabi-gcc", flags, "-c", folder / f"{name}.c", "-o", objects[-1])
    return objects


@needs_arm
@pytest.mark.parametrize("core", ARM_CORES)
def test_weight_bytes_equal_the_objects(tmp_path: Path, core: str) -> None:
    rng = np.random.default_rng(len(core))
    subnets = [FASHION_MNIST.smallest, FASHION_MNIST.largest]
    graphs = [random_weights(shape_graph(FASHION_MNIST, subnet), rng) for subnet in subnets]
    graphs += [random_graph(rng, max_ops=14) for _ in range(3)]
    for graph in graphs:
        objects = compiled(tmp_path, graph, core)
        assert sum(section_bytes(path, ".rodata") for path in objects) == weight_bytes(graph.structure)
        arena = place_side_by_side(graph.structure)[1]
        assert sum(section_bytes(path, ".bss.ofa_arena") for path in objects) == arena
        # no variables but the arena
        assert sum(section_bytes(path, section) for path in objects for section in (".data", ".bss")) == arena


def test_weight_bytes_are_the_sum_of_layers() -> None:
    structure = random_graph(np.random.default_rng(4), max_ops=10).structure
    assert weight_bytes(structure) == sum(layer_bytes(structure, operator) for operator in structure.operators)


@pytest.mark.parametrize(
    ("operator", "kernel"),
    [
        (Conv2D(name="c", inputs=("i",), output="o", kernel=(1, 1)), "ofa_pointwise"),
        (Conv2D(name="c", inputs=("i",), output="o", kernel=(1, 1), stride=(2, 2)), "ofa_conv2d"),
        (Conv2D(name="c", inputs=("i",), output="o", kernel=(1, 1), padding=Padding(top=1)), "ofa_conv2d"),
        (Conv2D(name="c", inputs=("i",), output="o", kernel=(3, 3)), "ofa_conv2d"),
    ],
)
def test_kernel_of_convolutions(operator: Operator, kernel: str) -> None:
    assert kernel_of(operator) == kernel
