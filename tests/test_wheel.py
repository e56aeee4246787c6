"""A wheel, away from the checkout, does the main job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that `pip wheel .` builds, here with the build tools that are installed."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True, timeout=300, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter of a new environment that holds the wheel; dependencies are lent from this environment."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # paths added by a .pth file come last, and .pth files in them are not read: the checkout stays out of sight
    lent = [path for path in sys.path if path.endswith("site-packages")]
    (site / "lent.pth").write_text("\n".join(lent) + "\n")
    return folder / "bin" / "python"


def test_the_wheel_carries_firmware_boards_and_supernet(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "ofa_mcu/_data/boards/stm32f746.toml" in names
    assert "ofa_mcu/_data/firmware/src/protocol.c" in names
    assert "ofa_mcu/_data/firmware/platform/ofabaremetal/platform.py" in names
    assert "ofa_mcu/supernet/shipped/fashion-mnist/supernet.npz" in names
    assert "ofa_mcu/planning/data/cortex-m7.json" in names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/")) or "__pycache__" in name]


def test_search_build_and_bench_in_an_empty_folder(python: Path, tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}

    def ofa_mcu(*arguments: str) -> dict[str, Any]:
        command = [str(python), "-m", "ofa_mcu", *arguments, "--json"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stderr
        value: dict[str, Any] = json.loads(done.stdout)
        return value

    where = subprocess.run(
        [str(python), "-c", "import ofa_mcu; print(ofa_mcu.__file__)"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert not where.startswith(str(ROOT))
    found = ofa_mcu("search", "--board", "stm32f103")
    assert found["run"] == "runs/fashion-mnist-stm32f103-1"
    built = ofa_mcu("build")
    assert built["sram_linked"] == built["sram_promised"] == found["pick"]["sram_bytes"]
    measured = ofa_mcu("bench", "--emulate", "--images", "20")
    assert measured["differing_bytes"] == 0
