from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ofa_mcu.devices.elf import read_image
from ofa_mcu.errors import OfaMcuError
from tests.devices.fixtures import Images

LINK = """\
MEMORY { FLASH (rx) : ORIGIN = 0x08000000, LENGTH = 64K  RAM (rwx) : ORIGIN = 0x20000000, LENGTH = 20K }
SECTIONS {
  .text : { *(.text*) } > FLASH
  .init_array : { *(.init_array) } > FLASH
  .data : { *(.data*) } > RAM AT > FLASH
  .bss : { *(.bss*) } > RAM
}
"""
SOURCE = """\
int set[10] = {1};
int cleared[7];
__attribute__((section(".init_array"), used)) static void *table[2];
__attribute__((used)) void run(void) { set[0] = cleared[0]; }
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["m0plus", "m55"])
def test_sums_are_those_of_the_size_tool(image: Images, name: str) -> None:
    elf = image(name)
    told = subprocess.run(["arm-none-eabi-size", "-A", "-d", elf], capture_output=True, text=True, check=True).stdout
    sizes = {words[0]: int(words[1]) for words in map(str.split, told.splitlines()) if words and words[0][0] == "."}
    built = read_image(elf)
    assert built.sram_bytes == sum(sizes[s] for s in (".stack", ".ofa_arena", ".noinit", ".data", ".bss"))
    stored = (".isr_vector", ".text", ".rodata", ".data", ".ARM.exidx")
    assert built.flash_bytes == sum(sizes.get(s, 0) for s in stored)
    # between sections lie at most the bytes that align the next one
    assert 0 <= elf.with_suffix(".bin").stat().st_size - built.flash_bytes < 16
    assert built.symbols["ofa_arena"] == 304
    assert built.symbols["ofa_model_run"] > 0


@pytest.mark.slow
def test_initial_values_count_twice_and_tables_once(tmp_path: Path) -> None:
    """`.data` takes flash and RAM; a writable section that stays in flash takes no RAM."""
    (tmp_path / "a.c").write_text(SOURCE)
    (tmp_path / "a.ld").write_text(LINK)
    command = (
        "arm-none-eabi-gcc -mcpu=cortex-m3 -mthumb -nostdlib -Wl,-T,a.ld,-e,run,--no-warn-rwx-segments a.c -o a.elf"
    )
    subprocess.run(command.split(), cwd=tmp_path, check=True)
    image = read_image(tmp_path / "a.elf")
    assert image.sram == {".data": 40, ".bss": 28}
    assert (image.flash[".data"], image.flash[".init_array"]) == (40, 8)
    assert (image.symbols["set"], image.symbols["cleared"]) == (40, 28)


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no ELF file")
    for name in ("text", "missing"):
        with pytest.raises(OfaMcuError, match=f"Cannot read the image .*{name}"):
            read_image(tmp_path / name)
