"""What the firmware takes besides the model is what the planner's figures say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ofa_mcu.devices.build import build_project
from ofa_mcu.devices.elf import read_image
from ofa_mcu.devices.project import write_project
from ofa_mcu.planning.core_model import core_model, known_cores
from ofa_mcu.planning.cost import DEFAULT_STACK_BYTES
from ofa_mcu.profiles import all_profiles
from ofa_mcu.resources import resource
from tests.devices import tiny

TOLERANCE = 128
"""Bytes of flash that a model which does nothing may still take, and another release of the compiler may differ by."""


def test_one_default_of_the_stack_reserve() -> None:
    config = (resource("firmware") / "src" / "config.h").read_text()
    assert re.findall(r"#define OFA_STACK_BYTES (\d+)", config) == [str(DEFAULT_STACK_BYTES)]


def test_every_core_of_the_boards_is_known() -> None:
    assert {profile.emulator.core for profile in all_profiles() if profile.emulator} <= set(known_cores())


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(tiny.TWINS))
def test_linked_sizes(name: str, tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", tiny.twin_profile(name), tiny.null_model_files())
    image = read_image(build_project(project).elf)
    figures = core_model(tiny.TWINS[name].core)
    assert image.sram == {
        ".stack": DEFAULT_STACK_BYTES,
        ".ofa_arena": tiny.NULL_ARENA_BYTES,
        ".bss": figures.static_bytes,
    }
    assert abs(image.flash_bytes - figures.base_flash_bytes) <= TOLERANCE
