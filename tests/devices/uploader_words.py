"""What uploaders print when they fail, and the words that `flash` must find for it.

`seen`: with no board attached, on a computer like those of the tests; the others are from the uploaders' sources.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["WORDS", "Words"]


@dataclass(frozen=True)
class Words:
    """One failure: who prints what, and a part of the sentence with its fix."""

    uploader: str
    output: str
    sentence: str
    seen: bool = False


_PROBE = "no debug probe was found; plug the board's debug USB port (ST-Link, CMSIS-DAP) in"
_PLATFORMIO = """\
Configuring upload protocol...
AVAILABLE: blackmagic, cmsis-dap, jlink, mbed, stlink
CURRENT: upload_protocol = %s
"""
_NO_PORT = """\
Looking for upload port...

Warning! Please install `99-platformio-udev.rules`.
Error: Please specify `upload_port` for environment or use global `--upload-port` option.
For some development platforms it can be a USB flash drive (i.e. /media/<user>/<device name>)
*** [upload] Explicit exit, status 1
"""

WORDS = (
    Words(
        "OpenOCD, stlink",
        _PLATFORMIO
        % "stlink"
        + "Open On-Chip Debugger 0.12.0\nError: open failed\nin procedure 'program'\n** OpenOCD init failed **\n"
        "shutdown command invoked\n*** [upload] Error 1\n",
        _PROBE,
        seen=True,
    ),
    Words(
        "OpenOCD, cmsis-dap",
        _PLATFORMIO % "cmsis-dap"
        + "Error: unable to find a matching CMSIS-DAP device\n** OpenOCD init failed **\n*** [upload] Error 1\n",
        "no CMSIS-DAP debug probe was found; plug the board in",
        seen=True,
    ),
    Words("st-info", "Found 0 stlink programmers", _PROBE, seen=True),
    Words("st-flash", "WARN usb.c: Couldn't find any ST-Link devices", _PROBE, seen=True),
    Words(
        "dfu-util",
        _PLATFORMIO % "dfu" + "No DFU capable USB device available\n*** [upload] Error 74\n",
        "no board in DFU mode was found; plug it in, hold BOOT and press reset",
        seen=True,
    ),
    Words(
        "pyOCD",
        "No available debug probes are connected",
        "no CMSIS-DAP debug probe was found; plug the board in",
        True,
    ),
    Words(
        "pyOCD, flash",
        "No connected debug probes\nE No target device available",
        "no CMSIS-DAP debug probe was found; plug the board in",
        seen=True,
    ),
    Words("PlatformIO, mbed", _PLATFORMIO % "mbed" + _NO_PORT, "plug it in or name it with --port", seen=True),
    Words("PlatformIO, blackmagic", _PLATFORMIO % "blackmagic" + _NO_PORT, "or name it with --port", seen=True),
    Words(
        "PlatformIO, jlink",
        _PLATFORMIO % "jlink" + "sh: 1: JLinkExe: not found\n*** [upload] Error 127\n",
        "J-Link's software (JLinkExe) is not installed; install it from SEGGER",
        seen=True,
    ),
    Words("the shell", "sh: 1: sometool: not found", "the uploader sometool is not installed"),
    Words(
        "OpenOCD, no rights",
        "Error: libusb_open() failed with LIBUSB_ERROR_ACCESS\nError: open failed",
        "the USB device may not be opened; give your user access to the probe (PlatformIO's 99-platformio-udev.rules)",
    ),
    Words(
        "dfu-util, no rights",
        "dfu-util: Cannot open DFU device 0483:df11 found on devnum 7 (LIBUSB_ERROR_ACCESS)",
        "99-platformio-udev.rules",
    ),
    Words(
        "picotool, no rights",
        "No accessible RP2040 devices in BOOTSEL mode were found.\n\nbut:\n\nDevice at bus 1, address 7 appears to be "
        "a RP2040 device in BOOTSEL mode, but picotool was unable to connect",
        "99-platformio-udev.rules",
    ),
    Words(
        "esptool, no rights",
        "could not open port '/dev/ttyACM0': [Errno 13] Permission denied: '/dev/ttyACM0'",
        "add yourself to the group dialout and log in again",
    ),
    Words(
        "picotool",
        "No accessible RP-series devices in BOOTSEL mode were found.",
        "no board in boot mode was found; hold BOOTSEL while plugging it in",
    ),
    Words(
        "teensy_loader_cli",
        "Unable to open device (hint: try -w option)",
        "no Teensy in boot mode was found; press the button on it",
    ),
    Words(
        "bossac", "No device found on ttyACM0", "the board's port cannot be opened; plug it in or name it with --port"
    ),
    Words("bossac, no answer", "SAM-BA operation failed", "press reset twice quickly"),
    Words(
        "OpenOCD, busy",
        "Error: libusb_claim_interface() failed with LIBUSB_ERROR_BUSY\nError: open failed",
        "another program holds the probe or the port; close debuggers and serial monitors",
    ),
    Words(
        "OpenOCD, no chip",
        "Error: init mode failed (unable to connect to the target)\n** OpenOCD init failed **",
        "the probe does not reach the chip; check the board's power and cable, or hold its reset button",
    ),
    Words(
        "OpenOCD, SWD",
        "Warn : UNEXPECTED idcode: 0x2ba01477\nError: expected 1 of 1: 0x1ba01477",
        "another chip than this board's; plug in the right board, or name yours with --board",
    ),
    Words(
        "OpenOCD, other chip",
        "Error: Cannot identify target as a STM32 family.\nError: auto_probe failed",
        "another chip than this board's",
    ),
    Words("st-flash, other chip", "2024 ERROR common.c: unknown chip id! 0xe0042000", "another chip than this board's"),
    Words(
        "esptool, other chip",
        "A fatal error occurred: This chip is ESP32-C3 not ESP32-S3. Wrong --chip argument?",
        "another chip than this board's",
    ),
    Words(
        "esptool",
        "A fatal error occurred: Failed to connect to ESP32-S3: No serial data received.",
        "the board's boot loader does not answer; press reset twice quickly, or hold BOOT while plugging it in",
    ),
    Words(
        "adafruit-nrfutil",
        "Failed to upgrade target. Error is: Timed out waiting for acknowledgement from device.",
        "press reset twice quickly",
    ),
    Words("OpenOCD, protected", "Error: stm32x device protected", "take the protection off with the maker's tool"),
    Words(
        "OpenOCD, no power",
        "Error: target voltage may be too low for reliable debugging",
        "the chip has no power; plug in the board's own supply and check the jumper for it",
    ),
    Words("nrfjprog", "ERROR: There is no debugger connected to the PC.", "no J-Link was found"),
    Words(
        "cp onto a drive",
        "cp: cannot create regular file '/media/x': Read-only file system",
        "the board's drive did not take the image; unplug it, plug it in again",
    ),
    Words("OpenOCD, verify", "** Verify Failed **", "the flash holds other bytes than were sent; try again"),
    Words(
        "PlatformIO, protocol",
        "Warning! Unknown upload protocol telepathy",
        "PlatformIO cannot upload to this board that way; choose another --protocol",
    ),
)
