"""The boards that come with the package, and how a user's own are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from ofa_mcu.errors import UsageError
from ofa_mcu.profiles import BoardProfile, all_profiles, board_ids, load_profile
from ofa_mcu.resources import resource

SHIPPED = {
    "cortex-m0plus": {"rp2040", "stm32g071"},
    "cortex-m3": {"stm32f103"},
    "cortex-m4": {"nano33ble", "nrf52840"}
    | {"stm32f407", "stm32f411", "stm32f446", "stm32g474", "stm32l476", "stm32l4r5"},
    "cortex-m7": {"stm32f746", "stm32f767", "stm32h743", "stm32h7a3", "teensy40", "teensy41"},
    "cortex-m33": {"rp2350", "stm32u585"},
    "cortex-m55": {"mps3_an547"},
    "rv32imc": {"esp32c3"},
    "xtensa-lx7": {"esp32s3"},
}
TWINS = [profile for profile in all_profiles() if profile.emulator is not None]


@pytest.fixture(autouse=True)
def no_own_boards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OFA_MCU_BOARDS", raising=False)


def own_board(folder: Path, board: str, **changes: str) -> Path:
    """A copy of a shipped profile with lines changed."""
    text = (resource("boards") / f"{board}.toml").read_text(encoding="utf-8")
    for old, new in changes.items():
        assert f"{old} = " in text
        text = text.replace(f"{old} = ", f"{old} = {new} # ", 1)
    path = folder / f"{changes.get('id', board).strip(chr(34))}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_shipped_boards_are_valid_and_complete() -> None:
    profiles = {profile.id: profile for profile in all_profiles()}
    cores: dict[str, set[str]] = {}
    for profile in profiles.values():
        cores.setdefault(profile.core, set()).add(profile.id)
    assert tuple(profiles) == board_ids() and cores == SHIPPED
    assert {board for board, profile in profiles.items() if profile.platformio is None} == {"mps3_an547"}


def test_boards_without_a_twin_name_a_core_that_stands_in() -> None:
    without = {profile.id: profile for profile in all_profiles() if profile.emulator is None}
    assert set(without) == SHIPPED["rv32imc"] | SHIPPED["xtensa-lx7"]
    assert all(profile.figures_of == "cortex-m3" and not profile.dsp for profile in without.values())
    assert all(profile.figures_of is None for profile in TWINS)


@pytest.mark.parametrize("profile", TWINS, ids=lambda profile: profile.id)
def test_twin_is_linked_to_what_the_machine_has(profile: BoardProfile) -> None:
    """QEMU 7.2: 4 MiB at 0 and at 0x20000000 on the MPS2 machines, 512 KiB each on mps3-an547; secure ones on an505."""
    assert profile.emulator is not None
    secure = profile.emulator.machine == "mps2-an505"
    flash, ram = (4 << 20, 2 << 20) if secure else 2 * (4 << 20,)
    if profile.emulator.machine == "mps3-an547":
        flash = ram = 512 << 10
    places = (0x10000000, 0x38000000) if secure else (0, 0x20000000)
    assert (profile.emulator.flash_origin, profile.emulator.ram_origin) == places
    assert (profile.emulator.flash_bytes or profile.flash_bytes) <= flash and profile.sram_bytes <= ram
    assert profile.emulator.core == profile.core and profile.emulator.fpu == profile.fpu


@pytest.mark.parametrize(
    ("board", "ram", "flash", "core", "machine"),
    [
        ("stm32f746", 327_680, 1_048_576, "cortex-m7", "mps2-an500"),
        ("stm32h743", 524_288, 2_097_152, "cortex-m7", "mps2-an500"),
        ("stm32l4r5", 655_360, 2_097_152, "cortex-m4", "mps2-an386"),
        ("stm32f103", 20_480, 65_536, "cortex-m3", "mps2-an385"),
        ("rp2040", 270_336, 2_097_152, "cortex-m0plus", "mps2-an385"),
        ("mps3_an547", 524_288, 524_288, "cortex-m55", "mps3-an547"),
        ("stm32u585", 786_432, 2_097_152, "cortex-m33", "mps2-an505"),
        ("rp2350", 532_480, 4_194_304, "cortex-m33", "mps2-an505"),
        ("stm32h7a3", 1_048_576, 2_097_152, "cortex-m7", "mps2-an500"),
        ("stm32f407", 131_072, 1_048_576, "cortex-m4", "mps2-an386"),
        ("stm32l476", 98_304, 1_048_576, "cortex-m4", "mps2-an386"),
        ("stm32g071", 36_864, 131_072, "cortex-m0plus", "mps2-an385"),
        ("nrf52840", 65_536, 524_288, "cortex-m4", "mps2-an386"),
    ],
)
def test_budgets(board: str, ram: int, flash: int, core: str, machine: str) -> None:
    profile = load_profile(board)
    assert (profile.ram_bytes, profile.flash_bytes, profile.core) == (ram, flash, core)
    assert profile.emulator is not None and profile.emulator.machine == machine


def test_budget_is_the_region_that_firmware_uses() -> None:
    """The H743 has about a megabyte of RAM in eight regions; static data goes into one of them."""
    profile = load_profile("stm32h743")
    assert profile.ram_origin == 0x24000000 and profile.region("AXI_SRAM").bytes == profile.ram_bytes
    assert sum(region.bytes for region in profile.regions if region.name != "FLASH") > 2 * profile.ram_bytes
    assert load_profile("stm32f746").ram_origin == 0x20000000
    assert "CCM" not in load_profile("stm32f407").ram_regions and "SRAM2" not in load_profile("stm32l476").ram_regions


def test_an_arena_may_have_a_region_of_its_own() -> None:
    apart = {profile.id: profile.arena_region for profile in all_profiles() if profile.arena_region is not None}
    assert apart == {"teensy40": "RAM2", "teensy41": "RAM2"}
    profile = load_profile("teensy40")
    assert (profile.ram_bytes, profile.arena_bytes, profile.sram_bytes) == (524_288, 524_288, 1_048_576)


def test_only_known_figures_are_given() -> None:
    """Power and cycles per instruction are there where a measurement is, and nowhere else."""
    powered = {profile.id for profile in all_profiles() if profile.active_power_mw is not None}
    assert powered == {"stm32h7a3", "stm32l4r5", "stm32u585"}
    cycles: dict[str, set[float | None]] = {}
    for profile in all_profiles():
        cycles.setdefault(profile.core, set()).add(profile.cycles_per_instruction)
    known = {"cortex-m7": {0.73, None}, "cortex-m4": {1.55}, "cortex-m33": {1.31, None}}
    assert cycles == {core: known.get(core, {None}) for core in SHIPPED}


def test_caches_are_known_where_a_core_has_some() -> None:
    """Of the cores of boards, a Cortex-M7 has caches; the emulator's Cortex-M55 shows none."""
    cached = {profile.id: profile.caches for profile in all_profiles() if profile.caches is not None}
    assert cached == dict.fromkeys(SHIPPED["cortex-m7"], "I+D")


def test_boards_mark_inferences_by_a_pin_and_tell_their_sleep_where_known() -> None:
    arduino = {profile.id for profile in all_profiles() if profile.platformio is not None}
    assert {profile.id for profile in all_profiles() if profile.marker_pin is not None} == arduino - {"nrf52840"}
    asleep = [profile for profile in all_profiles() if profile.sleep_ua is not None]
    assert {profile.core for profile in asleep} >= {"cortex-m3", "cortex-m4", "cortex-m33", "rv32imc"}
    assert all(profile.sources["sleep_ua"].startswith("typical, ") for profile in asleep)


def test_unknown_board_names_near_ones() -> None:
    with pytest.raises(UsageError, match=r"no board 'stm32f764'; did you mean stm32f767 or stm32f746 or "):
        load_profile("stm32f764")
    with pytest.raises(UsageError, match=r"no board 'avr'; known boards are esp32c3, esp32s3, "):
        load_profile("avr")
    with pytest.raises(UsageError, match="did you mean stm32f746"):
        load_profile("STM32F746")


def test_board_from_a_file(tmp_path: Path) -> None:
    path = own_board(tmp_path, "stm32f411", id='"mine"', clock_hz="84_000_000")
    assert load_profile(path).clock_hz == 84_000_000
    assert load_profile(str(path)) == load_profile(path)


def test_folders_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        folder.mkdir()
    own_board(first, "stm32f411", clock_hz="84_000_000")
    own_board(second, "stm32f411", clock_hz="16_000_000")
    own_board(second, "rp2040", id='"mine"')
    monkeypatch.setenv("OFA_MCU_BOARDS", f"{first}:{second}")
    assert load_profile("stm32f411").clock_hz == 84_000_000
    assert load_profile("mine").core == "cortex-m0plus"
    assert "mine" in board_ids() and "stm32f746" in board_ids()


def test_missing_folder_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFA_MCU_BOARDS", str(tmp_path / "none"))
    with pytest.raises(UsageError, match="OFA_MCU_BOARDS names .*none, which is no folder"):
        all_profiles()
