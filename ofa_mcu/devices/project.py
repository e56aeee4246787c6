"""A complete PlatformIO project for one board: firmware, kernels, model, platform; anyone can open it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ofa_mcu.devices.edits import digests, edited, free_name, write_manifest
from ofa_mcu.devices.tflm_library import TflmLibrary
from ofa_mcu.errors import UsageError
from ofa_mcu.planning.cost import DEFAULT_STACK_BYTES
from ofa_mcu.profiles import BoardManifest, BoardProfile, Emulator, PlatformIO
from ofa_mcu.resources import resource

__all__ = ["Project", "write_project"]

MODEL_FOLDER = Path("src", "model")
IMAGE = Path("src", "image.h")
IMAGE_HEADER = """\
/* CRC-32 of the sources that the firmware is built from. */
#ifndef OFA_IMAGE_H
#define OFA_IMAGE_H

#define OFA_IMAGE_CRC32 0x{:08X}u

#endif
"""
ARENA_ALIGNMENT = 32
"""Of an arena's own region in the twin."""
MANIFEST_URL = "https://www.qemu.org/docs/master/system/arm/mps2.html"

INI_HEAD = """\
; Written by ofa-mcu for {name}.
;   pio run -e {first}             builds
;   pio run -e {first} -t upload   {upload}
; ofa-mcu keeps your changes: before it writes this project anew, it moves a changed one aside (<folder>-edited-<n>).

[platformio]
default_envs = {first}
"""

INI_EMULATED = """
; The emulated twin: the board's own memory sizes, the nearest core, no network needed.
[env:{environment}]
platform = symlink://${{PROJECT_DIR}}/platform/ofabaremetal
board = {environment}
build_src_filter = +<*> -<hal_arduino.cpp>
extra_scripts = post:platform/build_flags.py
"""

INI_BOARD = """
; The board itself.
[env:{environment}]
platform = {platform}
board = {board}
framework = {framework}
upload_protocol = {upload_protocol}
monitor_speed = 115200
build_src_filter = +<*> -<hal_cmsdk.c> -<main.c>
extra_scripts = post:platform/build_flags.py
build_unflags = -Os
build_flags =
    -O2
    '-DOFA_BOARD="{environment}"'
    -DOFA_STACK_BYTES={stack_bytes}
"""


@dataclass(frozen=True)
class Project:
    """A PlatformIO project on disk; an environment is None where the board has none of that kind.

    image_crc32: of its sources, which the firmware tells. set_aside: where its predecessor lies now, None unless
    somebody had changed that one. memories: names of the board's regions by the linker's, which are RAM, FLASH and,
    where the arena has its own, ARENA.
    """

    folder: Path
    board: str
    emulated_environment: str | None
    board_environment: str | None
    image_crc32: int = 0
    set_aside: Path | None = None
    memories: Mapping[str, str] = field(default_factory=dict, hash=False)


def write_project(
    folder: Path,
    profile: BoardProfile,
    model_files: Mapping[str, str],
    stack_bytes: int = DEFAULT_STACK_BYTES,
    tflm: TflmLibrary | None = None,
) -> Project:
    """Writes the project into `folder`, complete or not at all; a project that lay there is replaced.

    A predecessor with a file changed, added or removed by hand is not lost: it moves to `<folder>-edited-<n>`.
    `model_files` maps names (`ofa_model.c`) to the text of the generated files, which go to `src/model/`.
    `stack_bytes` is the stack reserve, a multiple of 16. `tflm` is the library of generated files that run on TFLite
    Micro; without its sources there is no emulated environment. UsageError where `folder` holds something that is no
    PlatformIO project, or where the board can be neither built for nor emulated.
    """
    folder = folder.absolute()
    if folder.exists() and not replaceable(folder):
        raise UsageError(f"{folder} exists and holds no PlatformIO project; choose another folder or empty it.")
    if profile.platformio is None and profile.emulator is None:
        raise UsageError(f"Board {profile.id} has neither PlatformIO names nor an emulator twin; nothing can be built.")
    if stack_bytes <= 0 or stack_bytes % 16:
        raise UsageError(f"The stack reserve must be a positive multiple of 16 bytes, not {stack_bytes}.")
    twin = profile.emulator if tflm is None or tflm.tree is not None else None
    if twin is None and profile.platformio is None:
        raise UsageError(
            f"Board {profile.id} can only be emulated, and that needs TFLite Micro's sources; give --tflm-path DIR."
        )
    emulated = f"{profile.id}_emulated" if twin else None
    real = profile.id if profile.platformio else None
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as name:
        fresh = Path(name) / "new"
        copy_template(fresh)
        for file, text in model_files.items():
            write(fresh / MODEL_FOLDER / file, text)
        if tflm is not None:
            tflm.copy_to(fresh / "lib")
        write(fresh / "platformio.ini", project_ini(replace(profile, emulator=twin), stack_bytes, tflm))
        if twin is not None:
            manifest = twin_manifest(profile, twin, stack_bytes)
            write(fresh / "boards" / f"{emulated}.json", json.dumps(manifest, indent=1) + "\n")
        if profile.platformio is not None and profile.platformio.manifest is not None:
            own = board_manifest(profile, profile.platformio, profile.platformio.manifest)
            write(fresh / "boards" / f"{profile.platformio.board}.json", json.dumps(own, indent=1) + "\n")
        image = zlib.crc32(json.dumps(digests(fresh)).encode())
        write(fresh / IMAGE, IMAGE_HEADER.format(image))
        write_manifest(fresh)
        set_aside = exchange(folder, fresh, Path(name) / "old")
    memories = {"RAM": profile.ram_names, "FLASH": profile.flash_region}
    if twin is not None and twin.flash_bytes is not None:
        memories["FLASH"] += f", of which the emulated twin has {twin.flash_bytes} bytes"
    if profile.arena_region is not None:
        memories["ARENA"] = profile.arena_region
    return Project(folder, profile.id, emulated, real, image, set_aside, memories)


def exchange(folder: Path, fresh: Path, trash: Path) -> Path | None:
    """Puts `fresh` in the place of `folder`; what lay there goes to `trash` or, if edited, aside: then where to."""
    if not folder.exists():
        os.rename(fresh, folder)
        return None
    set_aside = free_name(folder) if any(folder.iterdir()) and edited(folder) else None
    os.rename(folder, set_aside or trash)
    try:
        os.rename(fresh, folder)
    except OSError:
        os.rename(set_aside or trash, folder)
        raise
    return set_aside


def replaceable(folder: Path) -> bool:
    """Whether the folder is empty or an earlier project."""
    return folder.is_dir() and ((folder / "platformio.ini").is_file() or not any(folder.iterdir()))


def copy_template(folder: Path) -> None:
    """The firmware's own sources, the kernels and the local platform."""
    template = resource("firmware")
    for part in ("src", "lib", "platform"):
        if (template / part).is_dir():
            shutil.copytree(
                template / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", "model")
            )


def write(path: Path, text: str) -> None:
    """One file of a folder that is not visible yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def project_ini(profile: BoardProfile, stack_bytes: int, tflm: TflmLibrary | None = None) -> str:
    """The project's platformio.ini: the twin first, for it builds everywhere."""
    settings = "" if tflm is None else tflm.settings()
    first = f"{profile.id}_emulated" if profile.emulator else profile.id
    upload = "runs it in QEMU, the serial line in the terminal" if profile.emulator else "flashes the board"
    text = INI_HEAD.format(name=profile.name, first=first, upload=upload)
    if profile.emulator is not None:
        text += INI_EMULATED.format(environment=first) + settings
    if profile.platformio is not None:
        names = profile.platformio
        text += INI_BOARD.format(
            environment=profile.id,
            platform=names.platform,
            board=names.board,
            framework=names.framework,
            upload_protocol=names.upload_protocol,
            stack_bytes=stack_bytes,
        )
        if profile.marker_pin is not None:
            text += f"    -DOFA_MARKER_PIN={profile.marker_pin}\n"
        text += "".join(f"    {flag}\n" for flag in names.build_flags)
        options = "".join(f"{name} = {value}\n" for name, value in names.options.items())
        # Flags of the library go on where the board's own end.
        text += settings.removeprefix("build_flags =\n") + options
    return text


def board_manifest(profile: BoardProfile, names: PlatformIO, own: BoardManifest) -> dict[str, object]:
    """PlatformIO's board manifest of a board that its platform does not know."""
    return {
        "build": {"cpu": profile.core, "f_cpu": f"{profile.clock_hz}L", "mcu": own.mcu, **own.build},
        **({"debug": dict(own.debug)} if own.debug else {}),
        "frameworks": [names.framework],
        "name": profile.name,
        "platforms": [names.platform],
        "upload": {
            "maximum_ram_size": profile.ram_bytes,
            "maximum_size": profile.flash_bytes,
            "protocol": names.upload_protocol,
            "protocols": list(dict.fromkeys([names.upload_protocol, *own.upload_protocols])),
        },
        "url": own.url,
        "vendor": own.vendor,
    }


def twin_manifest(profile: BoardProfile, twin: Emulator, stack_bytes: int) -> dict[str, object]:
    """PlatformIO's board manifest of the emulated twin; the local platform's builder reads it.

    An arena with a region of its own gets as much memory behind the other RAM, for the machine has no such region.
    """
    apart: dict[str, object] = {}
    if profile.arena_region is not None:
        origin = twin.ram_origin + -(-profile.ram_bytes // ARENA_ALIGNMENT) * ARENA_ALIGNMENT
        apart = {"arena_origin": f"{origin:#010x}", "arena_bytes": profile.arena_bytes}
    return {
        "build": {
            "cpu": twin.core,
            "fpu": twin.fpu or "",
            "f_cpu": f"{twin.systick_hz}L",
            "mcu": twin.core,
            "ofa_board": profile.id,
            "qemu_machine": twin.machine,
            "qemu_shift": twin.icount_shift,
            "flash_origin": f"{twin.flash_origin:#010x}",
            "ram_origin": f"{twin.ram_origin:#010x}",
            "stack_bytes": stack_bytes,
            "uart_base": f"{twin.uart_base:#010x}",
            "systick_hz": twin.systick_hz,
            **apart,
        },
        "name": f"{profile.name}, emulated",
        "upload": {"maximum_ram_size": profile.sram_bytes, "maximum_size": twin.flash_bytes or profile.flash_bytes},
        "url": MANIFEST_URL,
        "vendor": "QEMU",
        "platforms": ["ofabaremetal"],
    }
