"""From the model of a run to a linked image, and whether the image keeps what the planner promised."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ofa_mcu import schemas
from ofa_mcu.codegen import emit_c
from ofa_mcu.codegen.task_header import task_header
from ofa_mcu.devices.build import Build, build_project
from ofa_mcu.devices.elf import Image, read_image
from ofa_mcu.devices.project import Project, write_project
from ofa_mcu.errors import MismatchError, OfaMcuError, UsageError
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.tflite_reader import read_tflite
from ofa_mcu.ledger import recorded
from ofa_mcu.planning.compile import CompileOptions, compile_graph
from ofa_mcu.planning.cost import Cost
from ofa_mcu.planning.places import sram_limit
from ofa_mcu.profiles import BoardProfile
from ofa_mcu.runs import Run
from ofa_mcu.tasks.scaling import Scaling

__all__ = ["FirmwareBuild", "build_run", "meaning", "project_of", "run_graph"]

FLASH_SHARE, FLASH_BYTES = 0.02, 512
"""How far the linked flash may be from the promise: the larger of this share and these bytes."""


@dataclass(frozen=True, eq=False)
class FirmwareBuild:
    """A project, its linked image, and the planner's promise for it."""

    project: Project
    build: Build
    image: Image
    promise: Cost

    def check(self) -> None:
        """Raise MismatchError where the image breaks the promise."""
        if self.image.sram_bytes != self.promise.sram_bytes:
            raise MismatchError(
                f"{self.build.elf} takes {self.image.sram_bytes} B of SRAM where {self.promise.sram_bytes} B were "
                "promised; run benchmarks/calibrate_cost.py if the compiler or the firmware changed"
            )
        allowed = max(FLASH_SHARE * self.image.flash_bytes, FLASH_BYTES)
        if abs(self.image.flash_bytes - self.promise.flash_bytes) > allowed:
            raise MismatchError(
                f"{self.build.elf} takes {self.image.flash_bytes} B of flash where {self.promise.flash_bytes} B were "
                "promised; run benchmarks/calibrate_cost.py if the compiler or the firmware changed"
            )

    def to_json(self) -> dict[str, Any]:
        """What `build --json` prints."""
        return {
            "schema": schemas.BUILD,
            "project": str(self.project.folder),
            "elf": str(self.build.elf),
            "board": self.project.board,
            "environment": self.build.environment,
            "sram_promised": self.promise.sram_bytes,
            "sram_linked": self.image.sram_bytes,
            "flash_promised": self.promise.flash_bytes,
            "flash_linked": self.image.flash_bytes,
            "arena_bytes": self.promise.arena_bytes,
            "stack_reserved": self.promise.stack_bytes,
            "instructions_promised": round(self.promise.instructions),
        }


def run_graph(run: Run) -> tuple[Int8Graph, int]:
    """The run's int8 graph and the CRC-32 of its TFLite file."""
    data = run.model()
    crc, promised = zlib.crc32(data), run.report()["pick"].get("model_crc32")
    if crc != promised:
        raise OfaMcuError(f"{run.model_path} is not the file that the search wrote; search again")
    return read_tflite(data, run.model_path.name), crc


def project_of(run: Run, profile: BoardProfile, say: Callable[[str], None] = lambda text: None) -> tuple[Project, Cost]:
    """Write the run's PlatformIO project for a board; the project and the planner's promise for it."""
    subnet = run.subnet
    graph, crc = run_graph(run)
    searched_for = run.report().get("bounds", {}).get("sram", sram_limit(profile))
    compiled = compile_graph(graph, profile, CompileOptions(max_sram=int(searched_for)))
    files = emit_c(compiled.graph, compiled.plan, name=subnet, model_crc32=crc, facts=compiled.facts)
    project = write_project(run.project_path, profile, {**files, **meaning(run)})
    if project.set_aside is not None:
        say(f"the project had been changed by hand; the changed one is now {project.set_aside}")
    return project, compiled.cost


def meaning(run: Run) -> dict[str, str]:
    """The header that says what outputs and inputs stand for; none for runs from before labels were kept."""
    configuration = run.read("config.json")
    labels, scaling = configuration.get("labels"), configuration.get("scaling")
    if labels is None:
        return {}
    try:
        known = Scaling.from_json(scaling) if scaling is not None else None
        return {"ofa_task.h": task_header(run.task, list(map(str, labels)), known)}
    except (KeyError, TypeError, ValueError) as error:
        raise OfaMcuError(f"{run.folder / 'config.json'} is damaged ({error}); search again") from error


def build_run(run: Run, profile: BoardProfile, say: Callable[[str], None] = lambda text: None) -> FirmwareBuild:
    """Write the project, build the emulated twin, and hold the image against the promise.

    Raises:
        UsageError: the board has no twin to build.
        InfeasibleError: the image does not fit the board.
        MismatchError: it is not as large as promised.
    """
    if profile.emulator is None:
        raise UsageError(f"board {profile.id} has no emulator twin to build for; flash it with: ofa-mcu flash")
    with recorded(run.folder, "build"):
        project, promise = project_of(run, profile, say)
        say(f"building {project.emulated_environment} in {project.folder}")
        build = build_project(project)
        result = FirmwareBuild(project, build, read_image(build.elf), promise)
        result.check()
    run.write("build.json", result.to_json())
    return result
