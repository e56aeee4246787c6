"""The board profile: what is known about one board, as plain frozen values in bytes, hertz, volts and milliwatts.

A fact that no source gives is absent (None), never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

__all__ = ["CACHES", "NO_FPU", "BoardManifest", "BoardProfile", "Emulator", "MemoryRegion", "PlatformIO"]

NO_FPU = "none"
"""How a profile writes that a core has no floating point unit; None in the values below."""

CACHES = ("I+D", "I", "D", "off")
"""What a profile may say of a core that has caches, and what the firmware says of it."""


@dataclass(frozen=True)
class MemoryRegion:
    """`bytes` of memory from address `origin` up; `name` is the chip maker's."""

    name: str
    origin: int
    bytes: int

    @property
    def end(self) -> int:
        """First address behind the region."""
        return self.origin + self.bytes


@dataclass(frozen=True)
class Emulator:
    """The board's twin: a QEMU machine with the nearest core, linked against the board's own memory sizes.

    `core` is what the twin's image is compiled for (a value of `-mcpu`), `fpu` a value of `-mfpu` or None for
    software floating point. With `-icount shift=icount_shift` one instruction takes 2**icount_shift nanoseconds of
    virtual time, and SysTick counts at `systick_hz` of it. `note` says what the twin does not show. `flash_bytes` is
    what the machine has where that is less than the board's.
    """

    machine: str
    icount_shift: int
    core: str
    fpu: str | None
    flash_origin: int
    ram_origin: int
    uart_base: int
    systick_hz: int
    note: str | None = None
    flash_bytes: int | None = None

    @property
    def instructions_per_second(self) -> float:
        """Instructions in one second of the twin's virtual time; says nothing about a board's speed."""
        return 1e9 / (1 << self.icount_shift)


@dataclass(frozen=True)
class BoardManifest:
    """What PlatformIO must be told of a board that its platform does not know, beside the profile's own figures.

    upload_protocols: what can upload, beside the protocol that does if nobody says. build and debug: further keys of
    these two tables of the manifest, such as the framework's `variant`.
    """

    vendor: str
    url: str
    mcu: str
    upload_protocols: tuple[str, ...] = ()
    build: Mapping[str, str] = field(default_factory=dict, hash=False)
    debug: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class PlatformIO:
    """How PlatformIO names the board: platform, board id, framework, and the protocol its upload target uses.

    platform: a name, or the address of one that PlatformIO's registry does not have. options: further settings of the
    board's environment, such as `board_build.partitions`. build_flags: further flags of the compiler.
    manifest: for a board that the platform does not know, which the project then brings along.
    """

    platform: str
    board: str
    framework: str
    upload_protocol: str
    options: Mapping[str, str] = field(default_factory=dict, hash=False)
    build_flags: tuple[str, ...] = ()
    manifest: BoardManifest | None = None


@dataclass(frozen=True)
class BoardProfile:
    """One board.

    core: a value of `-mcpu` (cortex-m7); fpu: a value of `-mfpu`, None where the core has no floating point unit.
    On cores of other makers both are names of ours.
    dsp, mve: whether the core has the DSP extension (SMLAD), the M-profile vector extension.
    figures_of: the core whose measured figures stand in for this core's, which has none; one that runs portable
    kernels, with `figures_basis` saying how near they are. None where the core has figures of its own.
    clock_hz: the clock the board runs at with `platformio.framework`.
    flash_bytes: what firmware may use of `flash_region`.
    ram_bytes: the budget of firmware for SRAM: the regions named in `ram_regions`, which lie back to back.
    regions: every memory region of the board, used or not.
    arena_region: where the arena goes, if not with all other data into `ram_regions`; all of it is the arena's.
    platformio: None where PlatformIO does not know the board. emulator: None where no QEMU machine is near enough.
    active_power_mw: power during inference at `supply_v` volts, with `power_basis` saying what was measured.
    cycles_per_instruction: for estimates of latency only, with `cycles_basis` saying where from and how good.
    sleep_ua: microamperes of the chip in its stop mode with all RAM kept; a board draws more than its chip.
    caches: of the core's own those that the framework switches on: `I+D`, `I`, `D` or `off`; None for cores without.
    marker_pin: the framework's name of a pin that is high while the model runs, for power meters; None for no pin.
    usb: `vid:pid` of the board's serial port, lower-case hex.
    sources: for each of the fields above that is there, where it comes from (id, name and the bases need none).
    """

    id: str
    name: str
    core: str
    fpu: str | None
    dsp: bool
    mve: bool
    clock_hz: int
    flash_bytes: int
    flash_region: str
    ram_bytes: int
    ram_regions: tuple[str, ...]
    regions: tuple[MemoryRegion, ...]
    arena_region: str | None = None
    platformio: PlatformIO | None = None
    emulator: Emulator | None = None
    figures_of: str | None = None
    figures_basis: str | None = None
    active_power_mw: float | None = None
    supply_v: float | None = None
    power_basis: str | None = None
    cycles_per_instruction: float | None = None
    cycles_basis: str | None = None
    sleep_ua: float | None = None
    caches: str | None = None
    marker_pin: str | None = None
    usb: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict, hash=False)

    def region(self, name: str) -> MemoryRegion:
        """The region of that name; KeyError where the board has none (a loaded profile's own names always exist)."""
        return {region.name: region for region in self.regions}[name]

    @property
    def flash_origin(self) -> int:
        """First address of the flash on the board (the twin's is `emulator.flash_origin`)."""
        return self.region(self.flash_region).origin

    @property
    def ram_origin(self) -> int:
        """First address of the SRAM budget on the board (the twin's is `emulator.ram_origin`)."""
        return self.region(self.ram_regions[0]).origin

    @property
    def ram_names(self) -> str:
        """The regions of the SRAM budget, to be read."""
        return " + ".join(self.ram_regions)

    @property
    def arena_bytes(self) -> int:
        """Bytes of the arena's own region, 0 where it has none."""
        return 0 if self.arena_region is None else self.region(self.arena_region).bytes

    @property
    def sram_bytes(self) -> int:
        """All RAM that firmware may use: the SRAM budget, and the arena's own region."""
        return self.ram_bytes + self.arena_bytes

    def to_dict(self) -> dict[str, object]:
        """JSON-ready form with every field; None where unknown, the text "none" where there is no FPU."""
        fields = asdict(self) | {"fpu": self.fpu or NO_FPU, "sources": dict(self.sources)}
        if self.emulator is not None:
            fields["emulator"] = asdict(self.emulator) | {"fpu": self.emulator.fpu or NO_FPU}
        return fields
