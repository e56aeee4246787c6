from __future__ import annotations

import time
from pathlib import Path

import pytest

from ofa_mcu.devices.build import build_failure, build_project
from ofa_mcu.devices.elf import read_image
from ofa_mcu.devices.project import write_project
from ofa_mcu.errors import InfeasibleError, OfaMcuError, UsageError
from ofa_mcu.profiles import load_profile
from tests.devices import tiny

LOG = Path("build.log")
SLOW = pytest.mark.slow


@SLOW
def test_flash_overflow_names_the_excess(tmp_path: Path) -> None:
    with pytest.raises(InfeasibleError, match=r"exceeds tiny_m3: its flash \(FLASH\) by \d+ bytes") as caught:
        build_project(tiny.tiny_project(tmp_path, "m3", constant_bytes=70_000))
    assert caught.value.exit_code == 3
    assert caught.value.details["constraint"] == "flash"
    assert list(caught.value.details["excess_bytes"]) == ["flash"]  # type: ignore[call-overload]


@SLOW
def test_ram_overflow_is_exact(tmp_path: Path) -> None:
    """An arena that just fits links; sixteen bytes more are refused."""
    fits = 20_480 - 2048 - 280
    fits -= fits % 16
    image = read_image(build_project(tiny.tiny_project(tmp_path / "fits", "m0plus", arena=fits)).elf)
    assert 20_480 - 16 < image.sram_bytes <= 20_480
    with pytest.raises(InfeasibleError, match=r"its RAM \(SRAM\) by 8 bytes") as caught:
        build_project(tiny.tiny_project(tmp_path / "more", "m0plus", arena=fits + 16))
    assert caught.value.details == {"code": "infeasible", "constraint": "sram", "excess_bytes": {"RAM": 8}}


@SLOW
def test_a_twin_with_less_flash_than_the_board_says_so(tmp_path: Path) -> None:
    board = load_profile("teensy41")
    assert board.emulator is not None and board.emulator.flash_bytes == 4 << 20 < board.flash_bytes
    build_project(write_project(tmp_path / "fits", board, tiny.model_files(constant_bytes=4_000_000)))
    with pytest.raises(
        InfeasibleError, match=r"flash \(FLASH, of which the emulated twin has 4194304 bytes\) by \d+ b"
    ):
        build_project(write_project(tmp_path / "more", board, tiny.model_files(constant_bytes=4 << 20)))


@SLOW
def test_a_mistake_in_the_sources_is_shown(tmp_path: Path) -> None:
    model = tiny.model_files()
    model["ofa_model.c"] += "int nonsense(void) { return unknown_name; }\n"
    project = write_project(tmp_path / "project", tiny.twin_profile("m4"), model)
    with pytest.raises(OfaMcuError, match=r"compiler refused .*unknown_name.* the whole log is in") as caught:
        build_project(project)
    assert Path(str(caught.value).split(" is in ")[1].rstrip(".")).is_file()


@SLOW
def test_a_missing_function_is_named(tmp_path: Path) -> None:
    model = tiny.model_files()
    model["ofa_model.c"] = model["ofa_model.c"].replace("void ofa_model_run", "void ofa_model_walk")
    model["ofa_model.h"] += "void ofa_model_walk(void);\n"
    with pytest.raises(OfaMcuError, match="lacks the function ofa_model_run"):
        build_project(write_project(tmp_path / "project", tiny.twin_profile("m4"), model))


@SLOW
def test_a_missing_compiler_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OfaMcuError, match="arm-none-eabi-gcc is not on PATH; install it"):
        build_project(tiny.tiny_project(tmp_path, "m4"))


@SLOW
def test_a_build_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    begin = time.monotonic()
    with pytest.raises(OfaMcuError, match="did not finish"):
        build_project(tiny.tiny_project(tmp_path, "m4"), timeout_s=0.3)
    assert time.monotonic() - begin < 15


@SLOW
def test_the_build_folder_can_be_chosen(tmp_path: Path) -> None:
    build = build_project(tiny.tiny_project(tmp_path, "m4"), build_dir=tmp_path / "out", jobs=1)
    assert build.elf == tmp_path / "out" / "tiny_m4_emulated" / "firmware.elf"
    assert build.elf.is_file() and "SUCCESS" in build.log and build.seconds > 0


def test_an_unknown_environment(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no environment nonsense"):
        build_project(tiny.tiny_project(tmp_path, "m4"), "nonsense")


def test_no_registry_is_said_so() -> None:
    """What PlatformIO 6.2 prints without a network."""
    error = build_failure("Tool Manager: Installing platformio/tool-scons\nHTTPClientError: \n", "stm32f746", LOG)
    assert "cannot reach its registry" in str(error)


def test_platformios_own_check_counts_too() -> None:
    output = "Error: The data size (400000 bytes) is greater than maximum allowed (327680 bytes)\n"
    error = build_failure(output, "stm32f746", LOG)
    assert isinstance(error, InfeasibleError)
    assert "its RAM by 72320 bytes" in str(error)


def test_both_memories_are_told_and_the_larger_excess_binds() -> None:
    flash, ram = (f"ld: region `{name}' overflowed by {count} bytes\n" for name, count in (("FLASH", 90), ("RAM", 700)))
    for output in (flash + ram, ram + flash):
        error = build_failure(output, "stm32f103", LOG)
        assert isinstance(error, InfeasibleError)
        assert "its flash by 90 bytes" in str(error) and "its RAM by 700 bytes" in str(error)
        assert error.details == {
            "code": "infeasible",
            "constraint": "sram",
            "excess_bytes": {"flash": 90, "RAM": 700},
        }


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("Error: Unknown board ID 'nonesuch'\n", "PlatformIO failed: Unknown board ID 'nonesuch'; "),
        ("UnknownPackageError: Could not find the package with 'x/y' requirements\n", "cannot find a package: "),
        ("something else", "could not build for b"),
    ],
)
def test_other_failures(output: str, words: str) -> None:
    assert words in str(build_failure(output, "b", LOG))
