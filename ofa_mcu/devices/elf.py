"""What a linked image takes of flash and SRAM, read from the ELF file itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from ofa_mcu.errors import OfaMcuError

__all__ = ["Image", "read_image"]

SHF_ALLOC = 2
SIZED = ("STT_OBJECT", "STT_FUNC")


@dataclass(frozen=True)
class Image:
    """Sizes in bytes.

    `flash_bytes` is the sum of the sections stored in flash: vectors, code, constants, and the initial values of
    `.data`. `sram_bytes` is the sum of the sections that live in RAM: variables, arena, stack reserve. `flash` and
    `sram` hold the parts by section name, empty sections left out; `symbols` the size of every object and function.
    """

    flash: Mapping[str, int]
    sram: Mapping[str, int]
    symbols: Mapping[str, int]

    @property
    def flash_bytes(self) -> int:
        """Bytes of flash."""
        return sum(self.flash.values())

    @property
    def sram_bytes(self) -> int:
        """Bytes of SRAM."""
        return sum(self.sram.values())


def read_image(path: Path) -> Image:
    """The sizes of a linked image; OfaMcuError where the file is missing or no ELF file."""
    try:
        with path.open("rb") as file:
            return measure_elf(ELFFile(file))
    except (OSError, ELFError) as error:
        raise OfaMcuError(f"Cannot read the image {path} ({error or type(error).__name__}); build it again.") from error


def measure_elf(elf: Any) -> Image:
    """A section lives in RAM where it has no bytes in the file, or runs at another address than it is stored at."""
    loads = [s for s in elf.iter_segments() if s["p_type"] == "PT_LOAD"]
    flash: dict[str, int] = {}
    sram: dict[str, int] = {}
    for section in elf.iter_sections():
        size = section["sh_size"]
        if not section["sh_flags"] & SHF_ALLOC or not size:
            continue
        stored = section["sh_type"] != "SHT_NOBITS"
        if stored:
            flash[section.name] = size
        if not stored or load_address(section, loads) != section["sh_addr"]:
            sram[section.name] = size
    table = elf.get_section_by_name(".symtab")
    symbols = {s.name: s["st_size"] for s in (table.iter_symbols() if table else ()) if s["st_info"]["type"] in SIZED}
    return Image(flash, sram, symbols)


def load_address(section: Any, loads: list[Any]) -> int:
    """Where the section's bytes are stored."""
    begin = int(section["sh_addr"])
    for segment in loads:
        first = int(segment["p_vaddr"])
        if first <= begin < first + int(segment["p_memsz"]):
            return int(segment["p_paddr"]) + begin - first
    return begin
