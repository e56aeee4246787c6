"""What uploaders print when they fail, as one sentence with the fix.

Words of OpenOCD, st-flash, dfu-util, pyOCD, picotool, J-Link, nrfjprog, bossac, esptool, teensy_loader_cli, stm32flash,
Black Magic and PlatformIO.
The first pattern that is found wins, so that causes stand before what follows from them.
"""

from __future__ import annotations

import re

__all__ = ["upload_failure"]

UDEV = "give your user access to the probe (PlatformIO's 99-platformio-udev.rules) and plug it in again"
DRIVE = "no board that shows itself as a drive or a serial port was found; plug it in or name it with --port"
MESSAGES: tuple[tuple[str, str], ...] = (
    (
        r"LIBUSB_ERROR_ACCESS|insufficient permissions|picotool was unable to connect|"
        r"(?i:permission denied)(?=.*(?:usb|hid))|(?:usb|hid).*(?i:permission denied)|Access denied \(insufficient",
        f"the USB device may not be opened; {UDEV}",
    ),
    (
        r"could not open port.*Permission denied|Permission denied: '/dev/tty\w+'|/dev/tty\w+: Permission denied",
        "the board's port may not be opened; add yourself to the group dialout and log in again",
    ),
    (r"(?i)permission denied", f"a device or a file may not be opened; {UDEV}"),
    (
        r"LIBUSB_ERROR_BUSY|Device or resource busy|Unable to claim interface|Cannot claim interface|"
        r"could not claim interface",
        "another program holds the probe or the port; close debuggers and serial monitors",
    ),
    (r"JLinkExe: not found", "J-Link's software (JLinkExe) is not installed; install it from SEGGER"),
    (
        r"UNEXPECTED idcode|Cannot identify target as|unknown chip id|[Cc]hipid not found|expected 1 of 1|"
        r"Wrong device detected|does not match (?:the )?(?:connected|selected) (?:chip|device|target)|"
        r"The connected device is not|Wrong --chip argument",
        "the probe found another chip than this board's; plug in the right board, or name yours with --board",
    ),
    (
        r"[Tt]arget voltage may be too low|VTarget too low|VTref.*(?:is )?0\.0|target voltage.*0\.0",
        "the chip has no power; plug in the board's own supply and check the jumper for it",
    ),
    (
        r"device protected|[Rr]ead[- ]?out protection|RDP (?:level )?[12]|flash.*write[- ]protected|APPROTECT",
        "the chip's flash is protected; take the protection off with the maker's tool, which erases it",
    ),
    (
        r"unable to connect to the target|init mode failed|UNABLE to connect|Failed to connect to target|"
        r"Cannot connect to target|SW-DP scan failed|timed out while waiting for target halted|"
        r"Error connecting DP|cannot read IDR|Failed to init device",
        "the probe does not reach the chip; check the board's power and cable, or hold its reset button",
    ),
    (
        r"No emulators connected via USB|FAILED: Cannot connect to J-Link|no debugger connected to the PC|"
        r"No J-Link device found",
        "no J-Link was found; plug the board's debug USB port in",
    ),
    (
        r"No available debug probes|No connected debug probes|No target device available|"
        r"unable to find a matching CMSIS-DAP device",
        "no CMSIS-DAP debug probe was found; plug the board in",
    ),
    (
        r"Found 0 stlink programmers|Couldn't find any ST-Link|OpenOCD init failed|Error: open failed|"
        r"No ST-?L[Ii][Nn][Kk] detected",
        "no debug probe was found; plug the board's debug USB port (ST-Link, CMSIS-DAP) in",
    ),
    (
        r"No DFU capable USB device available|Cannot open DFU device",
        "no board in DFU mode was found; plug it in, hold BOOT and press reset",
    ),
    (r"Please specify `upload_port`", DRIVE),
    (
        r"devices? in BOOTSEL mode|RPI-RP2",
        "no board in boot mode was found; hold BOOTSEL while plugging it in",
    ),
    (
        r"Unable to open device \(hint: try -w option\)",
        "no Teensy in boot mode was found; press the button on it",
    ),
    (
        r"No space left on device|Read-only file system",
        "the board's drive did not take the image; unplug it, plug it in again, and check that its boot mode is meant "
        "for this board",
    ),
    (
        r"Timed out waiting for acknowledgement|No serial packets received|SAM-BA operation failed|"
        r"Failed to connect to [\w-]+: ",
        "the board's boot loader does not answer; press reset twice quickly, or hold BOOT while plugging it in",
    ),
    (
        r"\*\* Verify Failed \*\*|verification failed|contents differ",
        "the flash holds other bytes than were sent; try again",
    ),
    (r"could not open port|No device found on", "the board's port cannot be opened; plug it in or name it with --port"),
    (r"(?m)^(?:sh|/bin/sh): (?:\d+: )?(\S+): (?:command )?not found", "the uploader {} is not installed"),
    (
        r"(?i)unknown upload protocol|upload protocol .* is not supported|Unsupported upload protocol",
        "PlatformIO cannot upload to this board that way; choose another --protocol",
    ),
)
CAUSE = re.compile(r"^.*(?:[Ee]rror|ERROR|[Ff]ailed|not found|[Ff]ailure).*$", re.MULTILINE)


def upload_failure(output: str, board: str) -> str:
    """One sentence, without its full stop, for what the uploader printed."""
    for pattern, sentence in MESSAGES:
        found = re.search(pattern, output)
        if found:
            words = " ".join(found[0].split())
            tool = found[1] if found.groups() else ""
            return f"Flashing {board} failed: {sentence.format(tool)} (the uploader said: {words})"
    causes = [line for line in CAUSE.findall(output) if not line.startswith(("***", "=", "scons:"))]
    words = " ".join(causes[-1].split()) if causes else "the uploader gave no reason"
    return f"Flashing {board} failed: {words}"
