"""What a profile may say and what it may not: each mistake is one sentence that names file and field."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ofa_mcu.errors import UsageError
from ofa_mcu.profiles.cores import extension_mistake, machine_mistake
from ofa_mcu.profiles.reading import parse_profile, read_profile
from ofa_mcu.resources import resource

GOOD = (resource("boards") / "stm32l4r5.toml").read_text(encoding="utf-8")

TWIN = re.compile(r'(\[emulator\][^\[]*?fpu = ")fpv4-sp-d16')
MACHINE = '"mps2-an386"\nicount_shift = 6\ncore = "{}"'


def without(pattern: str) -> str:
    """The good profile without the lines that match, which must exist."""
    text = re.sub(rf"(?m)^(?:{pattern}).*\n", "", GOOD)
    assert text != GOOD
    return text


def replaced(old: str, new: str) -> str:
    """The good profile with one piece of text replaced, which must exist."""
    assert old in GOOD
    return GOOD.replace(old, new, 1)


def with_arena(origin: str) -> str:
    """The good profile with a region of the arena's own, whose section a flag places at `origin`."""
    flags = f"""build_flags = ["'-DOFA_ARENA_SECTION=\\".noinit\\"'", "-Wl,--section-start=.noinit={origin}"]"""
    return (
        replaced(
            "regions = [\n", 'arena_region = "C"\nregions = [{ name = "C", origin = 0x10000000, bytes = 65_536 },\n'
        ).replace("\n[emulator]", f"{flags}\n[emulator]")
        + 'arena_region = "x"\n'
    )


def test_reads_nested_values() -> None:
    profile = parse_profile(GOOD, "l4r5.toml")
    assert profile.region("SRAM2").origin == 0x20030000
    assert profile.emulator is not None and profile.emulator.systick_hz == 25_000_000
    assert profile.platformio is not None and profile.platformio.board == "nucleo_l4r5zi"
    assert profile.active_power_mw == 41.5 and profile.supply_v == 1.8
    assert hash(profile) == hash(parse_profile(GOOD, "again.toml"))


def test_optional_facts_may_be_absent() -> None:
    profile = parse_profile(without("active_power_mw|supply_v|power_basis|cycles_|usb"), "x")
    assert profile.active_power_mw is None and profile.cycles_per_instruction is None and profile.usb == ()
    assert profile.to_dict()["active_power_mw"] is None


def test_no_fpu_is_a_fact() -> None:
    profile = parse_profile(replaced('fpu = "fpv4-sp-d16"', 'fpu = "none"'), "x")
    assert profile.fpu is None and profile.to_dict()["fpu"] == "none"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (lambda: "id = ", r"board\.toml is not valid TOML"),
        (lambda: replaced("clock_hz = 120", "clock = 120"), r"unknown key clock; did you mean clock_hz\?"),
        (lambda: replaced("uart_base = ", "uart_bse = "), r"unknown key emulator\.uart_bse; did you mean uart_base\?"),
        (lambda: without("machine = "), r"the key emulator\.machine is missing"),
        (lambda: without("flash_bytes = 2_0|flash_bytes = "), r"the key flash_bytes is missing"),
        (
            lambda: replaced("clock_hz = 120_000_000", 'clock_hz = "120 MHz"'),
            r"clock_hz must be a whole number, not '120",
        ),
        (lambda: replaced("clock_hz = 120_000_000", "clock_hz = true"), r"clock_hz must be a whole number, not True"),
        (lambda: replaced("dsp = true", "dsp = 1"), r"dsp must be true or false, not 1"),
        (lambda: replaced('usb = ["0483:374b"]', 'usb = "0483:374b"'), r"usb must be a list"),
        (lambda: replaced('usb = ["0483:374b"]', 'usb = ["0483-374B"]'), r"usb must be like 0483:374b"),
        (lambda: replaced('board = "nucleo_l4r5zi"', 'board = ""'), r"platformio\.board is empty"),
        (
            lambda: replaced('board = "nucleo_l4r5zi"', 'board = "nucleo_l4r5zi\\nextra_scripts = evil.py"'),
            r"platformio\.board holds the control character U\+000A; write it as one line",
        ),
        (lambda: replaced('name = "', 'name = "\\u001b[31m'), r": name holds the control character U\+001B"),
        (lambda: replaced('name = "', 'name = "\\u2028'), r": name holds the control character U\+2028"),
        (lambda: replaced('clock_hz = "', 'clock_hz = "\\r'), r"sources\.clock_hz holds the control character U\+000D"),
        (lambda: replaced('["SRAM1", ', '["SRAM1\\t", '), r"ram_regions\[0\] holds the control character U\+0009"),
        (lambda: without("platformio = "), r"platformio names no source"),
        (lambda: without('cycles_per_instruction = "'), r"cycles_per_instruction names no source"),
        (lambda: GOOD + 'sleep_uw = "page 7"\n', r"\[sources\] names sleep_uw, which the profile does not give"),
        (lambda: GOOD.partition("[sources]")[0], r"the table \[sources\] is missing"),
        (lambda: replaced("clock_hz = 120_000_000", "clock_hz = 0"), r"clock_hz must be above zero"),
        (lambda: replaced("0x20030000", "0x20020000"), r"regions SRAM1 and SRAM2 overlap"),
        (
            lambda: replaced("0x20030000, bytes = 65_536", "0x20030000, bytes = 4096"),
            r"SRAM2 and SRAM3 do not lie back to back",
        ),
        (lambda: replaced('["SRAM1", "SRAM2", "SRAM3"]', '["SRAM1", "SRAM9"]'), r"no region is called SRAM9"),
        (lambda: replaced("ram_bytes = 655_360", "ram_bytes = 655_361"), r"ram_regions hold 655360"),
        (lambda: replaced("flash_bytes = 2_097_152", "flash_bytes = 4_194_304"), r"but FLASH has 2097152"),
        (
            lambda: replaced("cycles_basis", 'arena_region = "CCM"\ncycles_basis') + 'arena_region = "x"\n',
            r"no region is called CCM",
        ),
        (
            lambda: replaced("cycles_basis", 'arena_region = "SRAM2"\ncycles_basis') + 'arena_region = "x"\n',
            r"arena_region SRAM2 is the firmware's already",
        ),
        (
            lambda: (
                replaced("regions = [\n", 'arena_region = "C"\nregions = [{ name = "C", origin = 0, bytes = 1 },\n')
                + 'arena_region = "x"\n'
            ),
            r"arena_region is C, but no flag of platformio\.build_flags defines OFA_ARENA_SECTION",
        ),
        (
            lambda: replaced("cycles_basis", 'caches = "both"\ncycles_basis') + 'caches = "x"\n',
            r"caches must be one of I\+D, I, D, off, not 'both'; leave it out for a core without caches",
        ),
        (lambda: replaced('marker_pin = "2"', 'marker_pin = "D 2"'), r"marker_pin must be a pin's name or number"),
        (
            lambda: replaced("icount_shift = 6", "icount_shift = 6\nflash_bytes = 9_000_000"),
            r"emulator\.flash_bytes is 9000000 and flash_bytes 2097152; leave it out",
        ),
        (
            lambda: replaced("cycles_basis", "sleep_ua = 0\ncycles_basis") + 'sleep_ua = "x"\n',
            r"sleep_ua must be above zero, not 0",
        ),
        (lambda: without("cycles_basis"), r"cycles_per_instruction and cycles_basis belong together"),
        (lambda: replaced("icount_shift = 6", "icount_shift = 60"), r"icount_shift must be 0 to 10"),
        (lambda: replaced("[emulator]", "[[emulator]]"), r"emulator must be a table"),
        (lambda: replaced("[emulator]", "options = { lib_deps = 1 }\n[emulator]"), r"options must be a table"),
        (
            lambda: replaced("[emulator]", 'options = { monitor_speed = "9600" }\n[emulator]'),
            r"platformio\.options\.monitor_speed is no setting to add",
        ),
        (
            lambda: replaced("[emulator]", 'options = { "x]\\n[env" = "1" }\n[emulator]'),
            r"a key of platformio\.options holds the control character",
        ),
        (
            lambda: replaced("[emulator]", 'options = { "x]" = "1" }\n[emulator]'),
            r"platformio\.options\.x\] is no setting to add",
        ),
        (
            lambda: replaced("[emulator]", 'options = { lib_deps = "a\\nb" }\n[emulator]'),
            r"platformio\.options\.lib_deps holds the control character",
        ),
        (lambda: replaced("[emulator]", "manifest = {}\n[emulator]"), r"platformio\.manifest\.vendor is missing"),
        (
            lambda: (
                replaced("cycles_basis", 'figures_of = "cortex-m3"\nfigures_basis = "?"\ncycles_basis')
                + 'figures_of = "x"\n'
            ),
            r"figures_of and \[emulator\] exclude each other",
        ),
        (
            lambda: replaced("clock_hz = 120_000_000", "clock_hz = 120"),
            r"clock_hz is 120, which .* write hertz, 1000000",
        ),
        (
            lambda: replaced("clock_hz = 120_000_000", "clock_hz = 168_000_000_000_000"),
            r"clock_hz is 168000000000000, which no board runs at; write hertz",
        ),
        (lambda: replaced('"cortex-m4"', '"cortex-m9"'), r"core 'cortex-m9' is no Cortex-M .*; did you mean cortex-m"),
        (lambda: replaced('"cortex-m4"', '"Cortex-M4"'), r"core 'Cortex-M4' is no .*; did you mean cortex-m4\?"),
        (lambda: replaced('"cortex-m4"', '"cortex-a53"'), r"core 'cortex-a53' is no Cortex-M"),
        (lambda: replaced('"cortex-m4"', '"cortex-m3"'), r"dsp is true, but cortex-m3 has none; set dsp = false"),
        (lambda: replaced('"cortex-m4"', '"rv32imc"'), r"dsp is true, but rv32imc has none"),
        (lambda: replaced("dsp = true", "dsp = false"), r"dsp is false, but cortex-m4 always has it; set dsp = true"),
        (lambda: replaced("mve = false", "mve = true"), r"mve is true, but cortex-m4 has none; set mve = false"),
        (
            lambda: replaced('fpu = "fpv4-sp-d16"', 'fpu = "fpv5-d16"'),
            r": fpu is fpv5-d16, which cortex-m4 does not have; write none, fpv4-sp-d16",
        ),
        (
            lambda: TWIN.sub(r"\1fpv5-d16", GOOD, count=1),
            r"emulator\.fpu is fpv5-d16, which cortex-m4 does not have",
        ),
        (
            lambda: replaced('"mps2-an386"\nicount_shift = 6\ncore = "cortex-m4"', MACHINE.format("cortex-m7")),
            r"emulator\.core is cortex-m7, whose code mps2-an386 does not run; name one of cortex-m0",
        ),
        (
            lambda: replaced('"mps2-an386"\nicount_shift = 6\ncore = "cortex-m4"', MACHINE.format("cortex-m44")),
            r"emulator\.core 'cortex-m44' is no Cortex-M",
        ),
        (
            lambda: replaced('"mps2-an386"', '"mps2-an368"'),
            r"emulator\.machine 'mps2-an368' is no machine .*; did you mean mps2-an386\?",
        ),
        (
            lambda: replaced('"mps2-an386"', '"virt"'),
            r"emulator\.machine 'virt' is no machine that a twin can be; write one of microbit, mps2-an385",
        ),
        (
            lambda: with_arena("0x20000000"),
            r"build_flags place \.noinit, .*, at 0x20000000, outside of arena_region C; .*=\.noinit=0x10000000",
        ),
    ],
)
def test_mistakes(text: Callable[[], str], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parse_profile(text(), "board.toml")
    assert str(caught.value).startswith("board.toml") and "\n" not in str(caught.value)


def test_the_section_of_the_arena_may_lie_in_its_region() -> None:
    assert parse_profile(with_arena("0x10000000"), "x").arena_region == "C"
    assert parse_profile(with_arena("1000fff0"), "x").arena_region == "C"


def test_names_of_cores() -> None:
    assert extension_mistake("cortex-m33+nodsp", None, {"dsp": False, "mve": False}) is None
    assert extension_mistake("xtensa-lx7", "single", {"dsp": False, "mve": False}) is None
    assert extension_mistake("cortex-m55", "auto", {"dsp": True, "mve": True}) is None
    assert machine_mistake("microbit", "cortex-m0") is None and machine_mistake("mps2-an500", "cortex-m4") is None


def test_file_and_id_agree(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD, encoding="utf-8")
    with pytest.raises(UsageError, match="'stm32l4r5' differs from the file's name"):
        read_profile(path)


def test_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Cannot read the board profile .*No such file"):
        read_profile(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"id = '\xff'")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_profile(tmp_path / "latin.toml")
