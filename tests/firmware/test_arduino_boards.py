"""Every board with an Arduino core: the project that is generated for it, compiled for this computer, before `bench`.

Sources, flags and settings are the project's own, the Arduino core is the shim, and the network is one that fits all
boards. The kernels are compiled once: every project brings the same.
"""

from __future__ import annotations

import filecmp
import json
import shlex
import subprocess
from pathlib import Path

import pytest
from platformio.project.config import ProjectConfig

from ofa_mcu.devices.firmware import project_of
from ofa_mcu.devices.project import Project
from ofa_mcu.planning.core_model import core_model, core_of
from ofa_mcu.profiles import BoardProfile, all_profiles
from ofa_mcu.runs import Run
from tests.cli.verbs import run
from tests.devices.pty_board import HOST_STACK
from tests.firmware.test_arduino import SHIM, on_pty

pytestmark = pytest.mark.slow

BOARDS = [p for p in all_profiles() if p.platformio is not None and p.platformio.framework == "arduino"]
SMALLEST = "stm32f103"
IMAGES = 8
FLAGS = ("-Wall", "-Wextra", "-Werror")
KERNELS = Path("lib", "ofa_kernels")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("boards")


@pytest.fixture(scope="module")
def searched(folder: Path) -> Run:
    """A network for the smallest of the boards."""
    found = Run(folder / "run")
    asked = ("--task", "gestures", "--max-instructions", "1M", "--out", found.folder)
    assert run("search", "--board", SMALLEST, *asked) == 0
    return found


@pytest.fixture(scope="module")
def kernels(folder: Path, searched: Run) -> tuple[Path, list[Path]]:
    """The kernels of a project, and what became of them."""
    project, _ = project_of(searched, next(p for p in BOARDS if p.id == SMALLEST))
    library = (project.folder / KERNELS).rename(folder / "kernels")
    return library, [compiled(path, folder, [f"-I{library / 'include'}"]) for path in sorted(library.rglob("*.c"))]


def compiled(source: Path, folder: Path, flags: list[str]) -> Path:
    """An object file of this computer; a warning fails."""
    made = folder / f"{source.parent.name}-{source.name}.o"
    language = ("g++", "-std=gnu++17") if source.suffix == ".cpp" else ("gcc", "-std=gnu11")
    subprocess.run([*language, *FLAGS, *flags, "-O1", "-c", str(source), "-o", str(made)], check=True)
    return made


def program(project: Project, profile: BoardProfile, kernels: tuple[Path, list[Path]], folder: Path) -> Path:
    """The firmware of the board's environment: the sources and flags that its platformio.ini says."""
    library, objects = kernels
    assert same(library, project.folder / KERNELS)
    options = ProjectConfig(str(project.folder / "platformio.ini")).items(env=profile.id, as_dict=True)
    everything, *left_out = " ".join(options["build_src_filter"]).split()
    assert everything == "+<*>"
    source = project.folder / "src"
    units = [p for p in source.rglob("*.c*") if f"-<{p.relative_to(source)}>" not in left_out]
    assert {path.name for path in units} == {"protocol.c", "hal_arduino.cpp", "ofa_model.c", "ofa_weights.c"}
    flags = [flag for flag in shlex.split(" ".join(options["build_flags"])) if not flag.startswith("-Wl,")]
    flags += [
        "-UOFA_STACK_BYTES",
        HOST_STACK,
        f"-DF_CPU={profile.clock_hz}ul",
        f"-I{SHIM}",
        f"-I{source}",
        f"-I{library / 'include'}",
    ]
    made = [compiled(path, folder, flags) for path in (*units, SHIM / "main.cpp")]
    subprocess.run(["g++", *map(str, (*made, *objects)), "-o", str(folder / "firmware")], check=True)
    return folder / "firmware"


def same(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files."""
    names = [sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file()) for root in (one, other)]
    return names[0] == names[1] and all(filecmp.cmp(one / name, other / name, shallow=False) for name in names[0])


@pytest.mark.parametrize("profile", BOARDS, ids=lambda profile: profile.id)
def test_bench_measures_it(
    profile: BoardProfile,
    searched: Run,
    kernels: tuple[Path, list[Path]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project, promise = project_of(searched, profile)
    made = program(project, profile, kernels, tmp_path)
    pins = tmp_path / "pins"
    monkeypatch.setenv("SHIM_PINS", str(pins))
    capsys.readouterr()
    with on_pty(made) as port:
        asked = ("--run", searched.folder, "--board", profile.id, "--port", port, "--images", str(IMAGES))
        assert run("bench", *asked, "--json") == 0
    told = capsys.readouterr()
    result = json.loads(told.out)
    cycles = any("OFA_CYCLES" in flag for flag in (profile.platformio.build_flags if profile.platformio else ()))
    assert (result["board"], result["transport"]) == (profile.id, "serial")
    assert result["counter"] == ("cycles" if cycles else "micros")
    assert result["differing_bytes"] == 0 and result["bytes_compared"] > 0
    assert result["milliseconds"] > 0 and result["arena_bytes"] == promise.arena_bytes
    assert (result["core_hz"], result["core_hz_basis"]) == (profile.clock_hz, "measured" if cycles else "declared")
    assert (result["runtime"], result["image_crc32"]) == ("compiled", project.image_crc32)
    flavour = core_model(core_of(profile)).flavour.value
    assert result["kernels"] == ("dsp_in_c" if flavour == "dsp" else flavour)
    # this computer has neither caches nor instructions of such a core
    expected = ["no caches and its profile says both caches on"] if profile.caches else []
    expected += ["compiled without the dsp instructions"] if flavour == "dsp" else []
    assert len(result["warnings"]) == len(expected)
    for words, warning in zip(expected, result["warnings"], strict=True):
        assert words in warning and f"warning: {warning}" in told.err
    levels = [line.split()[2] for line in pins.read_text().splitlines()] if pins.exists() else []
    inferences = 1 + IMAGES + 3
    assert levels == ([] if profile.marker_pin is None else ["-1", "0", *["1", "0"] * inferences])
