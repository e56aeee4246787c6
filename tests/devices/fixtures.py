"""Images of the tiny model, built once for all tests of the devices and of the firmware."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from ofa_mcu.devices.build import build_project
from tests.devices.tiny import tiny_project

__all__ = ["Images", "image"]

Images = Callable[[str], Path]


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """image(name): the ELF file of the tiny model for that twin."""
    folder = tmp_path_factory.mktemp("images")
    return cache(lambda name: build_project(tiny_project(folder, name)).elf)
