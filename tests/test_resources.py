"""The firmware template and the boards are found in a checkout and in an installed package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import ofa_mcu
from ofa_mcu.resources import resource

CODE = """\
import sys
from pathlib import Path
from ofa_mcu.profiles import load_profile
from ofa_mcu.devices.project import write_project
from ofa_mcu.resources import resource
write_project(Path("project"), load_profile("stm32f746"), {"ofa_model.h": ""})
print(resource("firmware"))
"""


def test_a_checkout_has_them_beside_the_package() -> None:
    assert (resource("firmware") / "src" / "protocol.c").is_file()
    assert (resource("boards") / "stm32f746.toml").is_file()


def test_an_installed_package_has_them_inside(tmp_path: Path) -> None:
    """The layout of a wheel: ofa_mcu/_data/ holds what a checkout has at its root."""
    site = tmp_path / "site"
    shutil.copytree(Path(ofa_mcu.__file__).parent, site / "ofa_mcu", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("firmware", "boards"):
        shutil.copytree(resource(name), site / "ofa_mcu" / "_data" / name, dirs_exist_ok=True)
    said = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert said == str(site / "ofa_mcu" / "_data" / "firmware")
    assert (tmp_path / "project" / "src" / "protocol.c").is_file()
