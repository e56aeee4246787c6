"""What the firmware takes besides the model is what footprint.toml says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from ofa_mcu.devices.build import build_project
from ofa_mcu.devices.elf import read_image
from ofa_mcu.devices.project import DEFAULT_STACK_BYTES, write_project
from ofa_mcu.profiles import all_profiles
from ofa_mcu.resources import resource
from tests.devices import tiny

FIRMWARE = resource("firmware")
FOOTPRINT = tomllib.loads((FIRMWARE / "footprint.toml").read_text())
TOLERANCE = 128
"""Bytes of flash another release of the compiler may differ by."""


def test_one_default_of_the_stack_reserve() -> None:
    config = (FIRMWARE / "src" / "config.h").read_text()
    assert re.findall(r"#define OFA_STACK_BYTES (\d+)", config) == [str(FOOTPRINT["stack_bytes"])]
    assert FOOTPRINT["stack_bytes"] == DEFAULT_STACK_BYTES


def test_every_core_of_the_boards_is_listed() -> None:
    assert {profile.core for profile in all_profiles()} <= set(FOOTPRINT["flash_bytes"])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(tiny.TWINS))
def test_linked_sizes(name: str, tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", tiny.twin_profile(name), tiny.null_model_files())
    image = read_image(build_project(project).elf)
    assert image.sram == {
        ".stack": FOOTPRINT["stack_bytes"],
        ".ofa_arena": tiny.NULL_ARENA_BYTES,
        ".bss": FOOTPRINT["sram_bytes"],
    }
    assert abs(image.flash_bytes - FOOTPRINT["flash_bytes"][tiny.TWINS[name].core]) <= TOLERANCE
