"""Bytes of constants: the promise of each way against the object files of the cross compiler."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile

from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.planning.plan import Plan
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import FASHION_MNIST
from tests.codegen.emulation import FLAVOURS
from tests.codegen.models import plan_with, random_way, random_weights, write_model
from tests.graph.strategies import random_graph
from tests.graph.wide import wide_graph
from tests.kernels.toolchain import ARM_CORES, WARNINGS, build, kernel_include, needs_arm


def section_bytes(path: Path, prefix: str) -> int:
    with path.open("rb") as file:
        sections = [section["sh_size"] for section in ELFFile(file).iter_sections() if section.name.startswith(prefix)]
        return sum(-(-size // 4) * 4 for size in sections)  # every array starts at a multiple of 4


def compiled(folder: Path, graph: Int8Graph, plan: Plan, core: str, *defines: str) -> list[Path]:
    write_model(folder, graph, plan)
    objects = []
    for name in ("ofa_model", "ofa_weights"):
        objects.append(folder / f"{name}.o")
        flags = (*ARM_CORES[core], "-O2", "-std=gnu11", *WARNINGS, "-ffunction-sections", "-fdata-sections")
        flags += (f"-I{folder}", f"-I{kernel_include()}", *defines)
        build("arm-none-eabi-gcc", flags, "-c", folder / f"{name}.c", "-o", objects[-1])
    return objects


@pytest.mark.slow
@needs_arm
@pytest.mark.parametrize("core", ARM_CORES)
def test_constants_equal_the_objects(tmp_path: Path, core: str) -> None:
    rng = np.random.default_rng(len(core))
    subnets = [FASHION_MNIST.smallest, FASHION_MNIST.largest]
    graphs = [random_weights(shape_graph(FASHION_MNIST, subnet), rng) for subnet in subnets]
    graphs += [random_graph(rng, max_ops=14) for _ in range(3)]
    graphs += [graph for graph in (wide_graph(rng) for _ in range(8)) if not graph.structure.floats]
    for graph in graphs:
        plan = plan_with(graph, FLAVOURS[core], random_way(rng))
        objects = compiled(tmp_path, graph, plan, core)
        promised = sum(one.way.constant_bytes for one in plan.ways)
        assert sum(section_bytes(path, ".rodata") for path in objects) == promised
        assert sum(section_bytes(path, ".bss.ofa_arena") for path in objects) == plan.arena_bytes
        # no variables but the arena
        assert (
            sum(section_bytes(path, section) for path in objects for section in (".data", ".bss")) == plan.arena_bytes
        )


@needs_arm
def test_a_build_may_name_the_sections(tmp_path: Path) -> None:
    """As boards do whose arena has a memory of its own, or whose framework copies constants to RAM."""
    graph = random_weights(shape_graph(FASHION_MNIST, FASHION_MNIST.smallest), np.random.default_rng(3))
    plan = plan_with(graph, FLAVOURS["cortex-m7"])
    defines = ('-DOFA_ARENA_SECTION=".dmabuffers"', '-DOFA_CONSTANT_SECTION=".progmem"')
    model, weights = compiled(tmp_path, graph, plan, "cortex-m7", *defines)
    assert section_bytes(model, ".dmabuffers") == plan.arena_bytes and section_bytes(model, ".bss") == 0
    promised = sum(one.way.constant_bytes for one in plan.ways)
    assert section_bytes(weights, ".rodata") == 0
    assert section_bytes(weights, ".progmem") + section_bytes(model, ".rodata") == promised
