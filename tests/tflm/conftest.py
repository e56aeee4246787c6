"""TFLite Micro built for this computer, as `make tflm-host` fetches it."""

from __future__ import annotations

import os
import platform
import subprocess
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from ofa_mcu.codegen.tflm import emit_tflm
from ofa_mcu.codegen.tflm_api import TflmApi, read_api
from ofa_mcu.graph.tflite_reader import read_tflite
from ofa_mcu.resources import resource
from tests.firmware.test_arduino import SHIM

FETCHED = Path(__file__).parents[2] / ".cache" / "tflm-host"
GEMMLOWP = Path("/usr/include/gemmlowp")
FLAGS = ("-O1", "-g", "-Wall", "-Wextra", "-Werror", '-DOFA_BOARD="shim board"')


@dataclass(frozen=True)
class TflmHost:
    """Folder of headers, and the library for this computer."""

    include: Path
    library: Path

    @property
    def api(self) -> TflmApi:
        return read_api(self.include)

    @property
    def includes(self) -> tuple[str, ...]:
        return ("-isystem", str(self.include), "-isystem", str(GEMMLOWP))

    def firmware(self, folder: Path, files: Mapping[str, str]) -> Path:
        """The firmware with generated files, as a program of this computer."""
        (folder / "model").mkdir(parents=True)
        for name, text in files.items():
            (folder / "model" / name).write_text(text)
        source = resource("firmware") / "src"
        models = [folder / "model" / name for name in files if not name.endswith(".h")]
        objects = []
        for unit in (source / "protocol.c", *models, source / "hal_arduino.cpp", SHIM / "main.cpp"):
            language = ("gcc", "-std=gnu11") if unit.suffix == ".c" else ("g++", "-std=gnu++17")
            objects.append(folder / f"{unit.name}.o")
            places = [f"-I{path}" for path in (SHIM, source, folder)]
            command = [*language, *FLAGS, *places, *self.includes, "-c", str(unit), "-o", str(objects[-1])]
            subprocess.run(command, check=True)
        program = folder / "firmware"
        linked = [*map(str, objects), str(self.library), f"-Wl,-rpath,{self.library.parent}"]
        subprocess.run(["g++", *linked, "-o", str(program)], check=True)
        return program


@pytest.fixture(scope="session")
def tflm_host() -> TflmHost:
    """Skipped where it is missing; with OFA_MCU_REQUIRE_DATA=1 it may only be missing where there is none to fetch."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("TFLite Micro's library for the host is for Linux on x86-64")
    folder = Path(os.environ.get("OFA_MCU_TFLM_HOST", FETCHED))
    library = next(folder.glob("xinterpreters/libs/linux/xtflm_python.so.*"), None)
    header = GEMMLOWP / "fixedpoint" / "fixedpoint.h"
    missing = folder if library is None else None if header.is_file() else header
    if missing is not None or library is None:
        reason = f"{missing} is missing: run make tflm-host"
        if os.environ.get("OFA_MCU_REQUIRE_DATA") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return TflmHost(folder / "runtime" / "include", library.absolute())


@pytest.fixture(scope="session")
def cross_cplusplus() -> None:
    """Skipped without headers of the C++ library for Arm; with OFA_MCU_REQUIRE_DATA=1 they must be there."""
    command = ["arm-none-eabi-g++", "-x", "c++", "-fsyntax-only", "-"]
    if subprocess.run(command, input=b"#include <new>\n", capture_output=True, check=False).returncode:
        reason = "arm-none-eabi-g++ has no headers of the C++ library: run make tflm-host"
        if os.environ.get("OFA_MCU_REQUIRE_DATA") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


MakeFirmware = Callable[..., Path]


@pytest.fixture
def make_firmware(tflm_host: TflmHost, tmp_path: Path) -> MakeFirmware:
    """Makes the program of a .tflite file's bytes with an arena of so many bytes."""

    def make(data: bytes, arena_bytes: int) -> Path:
        graph = read_tflite(data, "model")
        files = emit_tflm(
            data, graph, name="model", model_crc32=zlib.crc32(data), arena_bytes=arena_bytes, api=tflm_host.api
        )
        return tflm_host.firmware(tmp_path / str(arena_bytes), files)

    return make
