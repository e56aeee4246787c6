"""A run's network on TFLite Micro: its PlatformIO project, its image, and how it compares with the compiled runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa_mcu import schemas
from ofa_mcu.codegen.tflm import emit_tflm
from ofa_mcu.devices.build import Build, build_project
from ofa_mcu.devices.elf import Image, read_image
from ofa_mcu.devices.firmware import meaning, run_graph
from ofa_mcu.devices.project import Project, write_project
from ofa_mcu.devices.tflm_library import TflmLibrary
from ofa_mcu.errors import InfeasibleError, UsageError
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.ledger import recorded
from ofa_mcu.planning.tflm import TFLM_STACK_BYTES, TflmNeeds, tflm_arena_needs
from ofa_mcu.profiles import BoardProfile
from ofa_mcu.runs import Run

__all__ = [
    "TflmBuild",
    "TflmOptions",
    "build_tflm_run",
    "side_by_side",
    "tflm_files",
    "tflm_folder",
    "tflm_project_of",
]


@dataclass(frozen=True)
class TflmOptions:
    """The library, and bytes of the arena where the predicted size is not wanted."""

    library: TflmLibrary
    arena_bytes: int | None = None

    def arena_for(self, needs: TflmNeeds) -> int:
        """Bytes of the arena; UsageError where less is asked than TFLite Micro can do with."""
        if self.arena_bytes is None:
            return needs.arena_bytes
        if self.arena_bytes < needs.least_bytes:
            raise UsageError(
                f"--arena {self.arena_bytes} is too small for this network: TFLite Micro needs more than "
                f"{needs.least_bytes} bytes, {needs.arena_bytes} are enough by prediction; give more or leave it out"
            )
        return -(-self.arena_bytes // 16) * 16

    def check_fit(self, needs: TflmNeeds, profile: BoardProfile) -> None:
        """InfeasibleError where the board's memory does not even hold the arena, and where they share it, the stack."""
        arena, apart = self.arena_for(needs), profile.arena_region is not None
        stack, what = (0, "") if apart else (TFLM_STACK_BYTES, f" and {TFLM_STACK_BYTES} B of stack")
        where, there = (profile.arena_region, profile.arena_bytes) if apart else (profile.ram_names, profile.ram_bytes)
        excess = arena + stack - there
        if excess <= 0:
            return
        remedy = "give less" if needs.least_bytes + stack < there else "choose a smaller subnet or a larger board"
        raise InfeasibleError(
            f"TFLite Micro's arena of {arena} B{'' if self.arena_bytes is None else ' (--arena)'}{what} exceeds "
            f"{profile.id}'s {where} of {there} B by {excess} B; {remedy}"
            + (f" (--arena, more than {needs.least_bytes} B)" if remedy == "give less" else ""),
            {
                "code": "infeasible",
                "constraint": "sram",
                "region": where,
                "needed": arena + stack,
                "budget": there,
                "excess_bytes": {"arena" if apart else "sram": excess},
            },
        )

    def blamed(self, error: InfeasibleError, needs: TflmNeeds) -> InfeasibleError:
        """The same error of an image, with the remedy that it has where more arena was asked for than is predicted."""
        excess = error.details.get("excess_bytes")
        only_flash = isinstance(excess, dict) and set(excess) == {"flash"}
        if self.arena_bytes is None or self.arena_bytes <= needs.arena_bytes or only_flash:
            return error
        cause = str(error).partition("; ")[0]
        return InfeasibleError(
            f"{cause}, with an arena of {self.arena_bytes} B (--arena); give less, {needs.arena_bytes} B are enough by "
            "prediction",
            error.details,
        )


@dataclass(frozen=True, eq=False)
class TflmBuild:
    """A project, its linked image, and TFLite Micro's predicted needs."""

    project: Project
    build: Build
    image: Image
    needs: TflmNeeds
    arena_bytes: int

    def to_json(self) -> dict[str, Any]:
        """What `build --runtime tflm --json` prints: nothing but the arena is promised."""
        return {
            "schema": schemas.BUILD,
            "runtime": "tflm",
            "project": str(self.project.folder),
            "elf": str(self.build.elf),
            "board": self.project.board,
            "environment": self.build.environment,
            "sram_promised": None,
            "sram_linked": self.image.sram_bytes,
            "flash_promised": None,
            "flash_linked": self.image.flash_bytes,
            "arena_bytes": self.arena_bytes,
            "arena_predicted": self.needs.arena_bytes,
            "stack_reserved": TFLM_STACK_BYTES,
            "instructions_promised": None,
        }


def tflm_files(
    data: bytes, graph: Int8Graph, name: str, crc32: int, options: TflmOptions
) -> tuple[dict[str, str], TflmNeeds, int]:
    """Generated files of a .tflite file, TFLite Micro's needs on a 32-bit core, and the bytes of the arena."""
    needs = tflm_arena_needs(graph.structure, options.library.cmsis_nn or options.library.tree is None)
    arena = options.arena_for(needs)
    library = options.library
    files = emit_tflm(
        data, graph, name=name, model_crc32=crc32, arena_bytes=arena, api=library.api, kernels=library.kernels
    )
    return files, needs, arena


def tflm_folder(run: Run) -> Path:
    """Where the run's project for TFLite Micro lies, beside the compiled one."""
    return run.project_path.with_name(f"{run.project_path.name}-tflm")


def tflm_project_of(
    run: Run, profile: BoardProfile, options: TflmOptions, say: Callable[[str], None] = lambda text: None
) -> tuple[Project, TflmNeeds, int]:
    """Write the run's project for TFLite Micro, beside the compiled one; with the needs and the bytes of the arena.

    InfeasibleError where the board cannot hold the arena.
    """
    graph, crc = run_graph(run)
    files, needs, arena = tflm_files(run.model(), graph, run.subnet, crc, options)
    options.check_fit(needs, profile)
    project = write_project(tflm_folder(run), profile, {**files, **meaning(run)}, TFLM_STACK_BYTES, options.library)
    if project.set_aside is not None:
        say(f"the project had been changed by hand; the changed one is now {project.set_aside}")
    return project, needs, arena


def build_tflm_run(
    run: Run, profile: BoardProfile, options: TflmOptions, say: Callable[[str], None] = lambda text: None
) -> TflmBuild:
    """Write the project and build the emulated twin.

    Raises:
        UsageError: the board has no twin, or there are no sources to build TFLite Micro from.
        InfeasibleError: the image does not fit the board.
    """
    if profile.emulator is None:
        raise UsageError(f"board {profile.id} has no emulator twin to build for; build its project with: pio run")
    if options.library.tree is None:
        raise UsageError(
            "the emulated twin with --runtime tflm is built from TFLite Micro's sources: give --tflm-path DIR, or "
            "build the board's project with: pio run"
        )
    with recorded(run.folder, "build"):
        project, needs, arena = tflm_project_of(run, profile, options, say)
        say(f"building {project.emulated_environment} in {project.folder}")
        try:
            build = build_project(project)
        except InfeasibleError as error:
            raise options.blamed(error, needs) from error
        result = TflmBuild(project, build, read_image(build.elf), needs, arena)
    run.write("build-tflm.json", result.to_json())
    return result


_ROWS = (
    ("output bytes that differ from the reference", "differing_bytes"),
    ("instructions per inference", "instructions"),
    ("milliseconds per inference", "milliseconds"),
    ("SRAM linked, B", "sram_linked"),
    ("arena, B", "arena_bytes"),
    ("arena used, B", "arena_used"),
    ("stack used, B", "stack_used"),
    ("flash linked, B", "flash_linked"),
)


def side_by_side(results: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Rows of a table, a column for each runtime (what `Trial.to_json` gives), and a head; unknown figures are empty.

    A row that no runtime has a figure for is left out.
    """
    rows = [("", *results)]
    for label, name in _ROWS:
        values = [result.get(name) for result in results.values()]
        if any(value is not None for value in values):
            rows.append(
                (label, *("" if v is None else f"{v:,.3f}" if isinstance(v, float) else f"{v:,}" for v in values))
            )
    return rows
