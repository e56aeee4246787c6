"""Networks with plausible scales, built for a core's emulated twin and run there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ofa_mcu.codegen import emit_c
from ofa_mcu.devices.bench import measure
from ofa_mcu.devices.build import build_project
from ofa_mcu.devices.elf import Image, read_image
from ofa_mcu.devices.emulator import RunningEmulator
from ofa_mcu.devices.link import Link
from ofa_mcu.devices.project import write_project
from ofa_mcu.errors import UsageError
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.random_weights import quantized
from ofa_mcu.planning.core_model import core_model, core_of
from ofa_mcu.planning.facts import analyse
from ofa_mcu.planning.plan import make_plan
from ofa_mcu.profiles import BoardProfile, all_profiles

__all__ = ["CRC32", "Linked", "link", "model_files", "quantized", "roomy_board", "run_once"]

CRC32 = 0x1234ABCD
ROOMY_FLASH, ROOMY_RAM = 1 << 19, 1 << 18


@dataclass(frozen=True, eq=False)
class Linked:
    """A network linked for a twin; `elf` and `image` are of the same build."""

    profile: BoardProfile
    graph: Int8Graph
    arena_bytes: int
    elf: Path
    image: Image


def roomy_board(core: str) -> BoardProfile:
    """A board whose twin has that core, with memory for every network of the tests; UsageError where there is none."""
    for profile in all_profiles():
        if profile.emulator is not None and core_of(profile) == core:
            return replace(profile, flash_bytes=ROOMY_FLASH, ram_bytes=ROOMY_RAM)
    raise UsageError(f"no board has an emulator twin with core '{core}': name a core of boards/*.toml")


def model_files(graph: Int8Graph, core: str) -> tuple[dict[str, str], int]:
    """The generated files and the arena's size."""
    facts = analyse(graph)
    plan = make_plan(graph.structure, core_model(core), facts)
    return emit_c(graph, plan, name=graph.structure.name, model_crc32=CRC32, facts=facts), plan.arena_bytes


def link(folder: Path, profile: BoardProfile, graph: Int8Graph) -> Linked:
    """Builds the twin's firmware in `folder`; what a build leaves in `folder`/build speeds up the next."""
    files, arena = model_files(graph, core_of(profile))
    build = build_project(write_project(folder / "project", profile, files), build_dir=folder / "build", jobs=1)
    return Linked(profile, graph, arena, build.elf, read_image(build.elf))


def run_once(linked: Linked, rng: np.random.Generator) -> int:
    """Instructions of one inference as the firmware reports them over serial."""
    twin = linked.profile.emulator
    assert twin is not None
    size = linked.graph.structure.bytes_of(linked.graph.structure.inputs[0])
    inputs = rng.integers(-128, 128, (1, size)).astype(np.int8)
    with RunningEmulator(twin, linked.elf) as emulator, Link(emulator.url) as serial:
        result = measure(serial, inputs, twin=twin, model_crc32=CRC32, repeats=1)
    assert result.instructions is not None
    return result.instructions.median
